#include "convert/import_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "convert/tensor_reader.h"
#include "hf/refusal.h"
#include "runtime/slot_table.h"
#include "store/transfer/stream.h"

namespace gsnake::convert {
namespace {

using optim::WeightFormat;

constexpr std::uint16_t kExponent = 0x7F80;  // of a bf16 number

std::uint64_t largest_chunk(const schedule::Map& map) {
  std::uint64_t elements = 0;
  for (const schedule::Chunk& chunk : map.chunks) elements = std::max(elements, map.object_of(chunk).packed() ? 0 : chunk.cells);
  return elements;
}

bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

template <typename T>
std::span<T> as(std::byte* data, std::uint64_t elements) {
  return {reinterpret_cast<T*>(data), elements};
}

class Importer {
 public:
  Importer(const ImportPlan& plan, const plan::ModelLayout& layout, WeightFormat format, const schedule::Map& map, store::Store& store,
           checkpoint::StateHashes& hashes)
      : plan_(plan),
        layout_(layout),
        format_(format),
        map_(map),
        hashes_(hashes),
        master_(largest_chunk(map)),
        weights_(store, 0, largest_chunk(map) * optim::weight_bytes(format), store.stream_bytes() / 2) {
    if (optim::master_bytes(format) > 0)
      rest_.emplace(store, 0, largest_chunk(map) * optim::master_bytes(format), store.stream_bytes() / 2);
  }

  void run(const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    const std::uint64_t total = source_bytes(plan_);
    for (const schedule::Chunk& chunk : map_.chunks) {
      if (map_.object_of(chunk).packed()) continue;
      progress(done_, total);
      if (is_stored_as_it_is(chunk)) {
        copy(chunk);
      } else {
        convert(chunk);
      }
    }
    weights_.finish();
    if (rest_) rest_->finish();
    progress(total, total);
  }

 private:
  // Calls body(parameter, first element of it, where that is in the chunk, how many) for each parameter that has a part in the chunk.
  template <typename Body>
  void for_each_part(const schedule::Chunk& chunk, Body&& body) const {
    const std::vector<optim::FlatParameter>& parameters = layout_.flat(static_cast<std::size_t>(chunk.object)).parameters;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::uint64_t begin = std::max(chunk.begin, parameters[i].offset);
      const std::uint64_t end = std::min(chunk.begin + chunk.cells, parameters[i].offset + parameters[i].info.numel);
      if (begin < end) body(i, begin - parameters[i].offset, begin - chunk.begin, end - begin);
    }
  }

  TensorReader& reader_of(const schedule::Chunk& chunk, std::size_t parameter) {
    const ParameterSource& source = plan_[static_cast<std::size_t>(chunk.object)][parameter];
    if (!reader_ || reading_ != &source) reader_.emplace(source);
    reading_ = &source;
    return *reader_;
  }

  // bf16 in a bf16 run: the weights' bytes, and remainders of zero.
  [[nodiscard]] bool is_stored_as_it_is(const schedule::Chunk& chunk) const {
    bool as_it_is = format_ == WeightFormat::bf16;
    for_each_part(chunk, [&](std::size_t parameter, std::uint64_t, std::uint64_t, std::uint64_t) {
      const ParameterSource& source = plan_[static_cast<std::size_t>(chunk.object)][parameter];
      as_it_is = as_it_is && source.source != nullptr && source.dtype == hf::Dtype::bf16 && !source.transposed;
    });
    return as_it_is;
  }

  void copy(const schedule::Chunk& chunk) {
    const std::span<std::uint16_t> weights = as<std::uint16_t>(weights_.block(), chunk.cells);
    std::uint64_t filled = 0;
    const auto pad_to = [&](std::uint64_t place) {
      std::fill(weights.begin() + static_cast<std::ptrdiff_t>(filled), weights.begin() + static_cast<std::ptrdiff_t>(place), 0);
    };
    for_each_part(chunk, [&](std::size_t parameter, std::uint64_t first, std::uint64_t place, std::uint64_t count) {
      pad_to(place);
      reader_of(chunk, parameter).copy(first, std::as_writable_bytes(weights.subspan(place, count)));
      filled = place + count;
      done_ += count * sizeof(std::uint16_t);
    });
    pad_to(chunk.cells);
    std::uint16_t least_cleared = 0xFFFF;  // of exponents whose bits are inverted: 0 where one is not finite
    for (const std::uint16_t weight : weights) least_cleared = std::min<std::uint16_t>(least_cleared, ~weight & kExponent);
    if (least_cleared == 0) {
      optim::widen(WeightFormat::bf16, weights, {master_.data(), chunk.cells});
      refuse_value(chunk, {master_.data(), chunk.cells});
    }
    put(weights_, chunk.weight_extent);
  }

  void convert(const schedule::Chunk& chunk) {
    const std::span<float> master =
        format_ == WeightFormat::fp32 ? as<float>(weights_.block(), chunk.cells) : std::span(master_.data(), chunk.cells);
    std::uint64_t filled = 0;
    const auto pad_to = [&](std::uint64_t place) {
      std::fill(master.begin() + static_cast<std::ptrdiff_t>(filled), master.begin() + static_cast<std::ptrdiff_t>(place), 0.0F);
    };
    for_each_part(chunk, [&](std::size_t parameter, std::uint64_t first, std::uint64_t place, std::uint64_t count) {
      pad_to(place);
      reader_of(chunk, parameter).read(first, master.subspan(place, count));
      filled = place + count;
      if (reading_->source != nullptr) done_ += count * hf::size_of(reading_->dtype);
    });
    pad_to(chunk.cells);
    if (!optim::storable(format_, master)) refuse_value(chunk, master);
    write(chunk, master);
  }

  void write(const schedule::Chunk& chunk, std::span<const float> master) {
    const std::uint64_t elements = master.size();
    const bool has_rest = rest_ && map_.object_of(chunk).master;  // what is frozen has none
    if (format_ == WeightFormat::bf16) {
      optim::split_master(master, as<std::uint16_t>(weights_.block(), elements), as<std::int16_t>(rest_->block(), elements));
    } else if (format_ == WeightFormat::fp16) {
      optim::to_fp16(master, as<std::uint16_t>(weights_.block(), elements));
      if (has_rest) std::memcpy(rest_->block(), master.data(), master.size_bytes());
    }
    put(weights_, chunk.weight_extent);
    if (has_rest) put(*rest_, chunk.state_extent[0]);
  }

  // A file's preallocated blocks are zero already: the remainder of a bf16 weight costs nothing.
  void put(store::WriteStream& stream, int number) {
    const store::Extent extent = map_.extents[static_cast<std::size_t>(number)];
    const std::span<const std::byte> bytes(stream.block(), extent.bytes);
    hashes_.written(static_cast<std::size_t>(number), bytes);
    if (!all_zero(bytes)) stream.write(extent);
  }

  [[noreturn]] void refuse_value(const schedule::Chunk& chunk, std::span<const float> master) const {
    const auto object = static_cast<std::size_t>(chunk.object);
    for (std::size_t i = 0; i < master.size(); ++i) {
      if (optim::storable(format_, master.subspan(i, 1))) continue;
      const std::uint64_t element = chunk.begin + i;
      const auto& parameters = layout_.flat(object).parameters;
      const auto after =
          std::find_if(parameters.begin(), parameters.end(), [&](const optim::FlatParameter& p) { return p.offset > element; });
      const auto parameter = static_cast<std::size_t>(after - parameters.begin()) - 1;
      refuse_element(plan_[object][parameter], element - parameters[parameter].offset, master[i]);
    }
    throw std::logic_error("import: a chunk that can't be stored holds only values that can");
  }

  [[noreturn]] static void refuse_element(const ParameterSource& source, std::uint64_t element, float value) {
    if (source.source == nullptr) hf::refuse(source.values->name(), fmt::format("its value {} (number {}) is not finite, or too large for train.dtype", value, element));
    const hf::Tensor& tensor = source.source->tensor;
    if (source.transposed) element = element % tensor.shape[0] * tensor.shape[1] + element / tensor.shape[0];
    hf::refuse(source.source->file->path(),
               fmt::format("tensor {}: the value {} at offset {} is not finite, or too large for train.dtype", hf::shown(tensor.name),
                           value, tensor.offset + element * hf::size_of(source.dtype)));
  }

  const ImportPlan& plan_;
  const plan::ModelLayout& layout_;
  const WeightFormat format_;
  const schedule::Map& map_;
  checkpoint::StateHashes& hashes_;
  std::vector<float> master_;
  store::WriteStream weights_;
  std::optional<store::WriteStream> rest_;
  std::optional<TensorReader> reader_;
  const ParameterSource* reading_ = nullptr;
  std::uint64_t done_ = 0;
};

}  // namespace

void import_weights(const ImportPlan& plan, const plan::ModelLayout& layout, optim::WeightFormat format, const schedule::Map& map,
                    store::Store& store, checkpoint::StateHashes& hashes, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  Importer(plan, layout, format, map, store, hashes).run(progress);
}

}  // namespace gsnake::convert
