#include "convert/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "core/parallel.h"
#include "greedysnake/error.h"
#include "model/layout.h"

namespace gsnake::convert {
namespace {

constexpr std::uint64_t kElementsAtOnce = 1ULL << 23;
constexpr std::size_t kElementsAThread = std::size_t{1} << 17;

unsigned all_cores() { return std::max(1U, std::thread::hardware_concurrency()); }

quant::Format format_of(const optim::FlatParameter& parameter, bool is_end, const BaseFormats& formats) {
  return parameter.info.dims < 2 ? quant::Format::fp32 : is_end ? formats.ends : formats.blocks;
}

// Sums of four uniform numbers of 16 bits, from one hash: near enough to normal ones, and as fast as they are packed.
class RandomValues final : public UnitValues {
 public:
  RandomValues(const plan::ModelLayout& layout, std::uint64_t seed) : layout_(layout), seed_(seed) {}

  void begin(std::size_t unit, std::size_t parameter) override {
    parameter_ = &layout_.flat(unit).parameters[parameter];
    stream_ = mix(seed_ ^ mix(unit * 4096 + parameter + 1));
  }

  void read(std::uint64_t first, std::span<float> out) override {
    if (parameter_->info.dims < 2) {
      std::fill(out.begin(), out.end(), parameter_->info.name.ends_with("weight") ? 1.0F : 0.0F);
      return;
    }
    // Of the sum: mean 2 x 65535, variance 4 x (65536^2 - 1) / 12.
    const auto scale = static_cast<float>(0.02 / std::sqrt(4.0 * (65536.0 * 65536.0 - 1.0) / 12.0));
    core::parallel_for(all_cores(), out.size(), kElementsAThread, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::uint64_t bits = mix(stream_ + first + i);
        const auto sum = static_cast<std::int32_t>((bits & 0xFFFF) + (bits >> 16U & 0xFFFF) + (bits >> 32U & 0xFFFF) + (bits >> 48U));
        out[i] = static_cast<float>(sum - 2 * 65535) * scale;
      }
    });
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {  // SplitMix64 (Steele et al., 2014)
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31U);
  }

  const plan::ModelLayout& layout_;
  const std::uint64_t seed_;
  const optim::FlatParameter* parameter_ = nullptr;
  std::uint64_t stream_ = 0;
};

}  // namespace

BaseFormats base_formats(const std::string& text) {
  const auto named = [](const std::string& name) {
    const std::optional<quant::Format> format = quant::format_of(name);
    if (!format || *format == quant::Format::fp32) throw Error(ErrorKind::usage, "a base's format \"" + name + "\": must be one of bf16, int8, nf4, mxfp4");
    return *format;
  };
  const std::size_t comma = text.find(',');
  return {named(text.substr(0, comma)), comma == std::string::npos ? quant::Format::bf16 : named(text.substr(comma + 1))};
}

base::BaseManifest base_manifest(const Model& model, const plan::ModelLayout& layout, const BaseFormats& formats) {
  base::BaseManifest manifest;
  manifest.format = quant::name_of(formats.blocks);
  manifest.units = layout.units;
  manifest.kinds.resize(layout.shapes.size());
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    base::BaseKind& kind = manifest.kinds[static_cast<std::size_t>(layout.units[unit])];
    if (kind.bytes > 0) continue;
    const bool is_end = unit == 0 || unit + 1 == model.units.size();
    for (const optim::FlatParameter& parameter : layout.flat(unit).parameters) {
      const quant::Format format = format_of(parameter, is_end, formats);
      kind.tensors.push_back({parameter.info.name, parameter.info.sizes, quant::name_of(format), 0, quant::packed_bytes(format, parameter.info.numel)});
    }
    base::lay_out(kind);
  }
  // A tied head has a shape of its own; its kind's is used by no unit.
  std::vector<int> place(manifest.kinds.size(), -1);
  std::vector<base::BaseKind> used;
  for (int& unit : manifest.units) {
    int& at = place[static_cast<std::size_t>(unit)];
    if (at < 0) {
      at = static_cast<int>(used.size());
      used.push_back(manifest.kinds[static_cast<std::size_t>(unit)]);
    }
    unit = at;
  }
  manifest.kinds = std::move(used);
  return manifest;
}

void write_base(const plan::ModelLayout& layout, const base::BaseManifest& manifest, UnitValues& values, base::BaseWriter& writer, const TransferProgress& progress) {
  std::vector<float> piece;
  std::uint64_t done = 0;
  const auto pack = [&](int unit, const base::BaseTensor& tensor, std::uint64_t elements) {
    const auto write = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
      writer.write(unit, tensor.offset + offset, bytes);
      done += bytes.size();
    };
    quant::Packer packer(*quant::format_of(tensor.format), elements, write, all_cores());
    for (std::uint64_t first = 0; first < elements; first += kElementsAtOnce) {
      piece.resize(std::min(kElementsAtOnce, elements - first));
      values.read(first, piece);
      packer.add(piece);
      if (progress) progress(done, writer.bytes());
    }
    packer.finish();
  };
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    const std::vector<base::BaseTensor>& tensors = manifest.kind_of(static_cast<int>(unit)).tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      values.begin(unit, i);
      try {
        pack(static_cast<int>(unit), tensors[i], layout.flat(unit).parameters[i].info.numel);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::input) throw;
        throw Error(ErrorKind::input, fmt::format("{} of unit {}: {}", tensors[i].name, unit, error.what()));
      }
    }
  }
}

std::unique_ptr<UnitValues> random_values(const plan::ModelLayout& layout, std::uint64_t seed) { return std::make_unique<RandomValues>(layout, seed); }

}  // namespace gsnake::convert
