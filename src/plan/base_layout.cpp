#include "plan/base_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::plan {
namespace {

[[noreturn]] void refuse(const std::string& folder, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("adapter.base = {}: {}; name the base of the model that the config describes, or make one with gsnake quantize", folder, why));
}

// Where it is, and how it is packed: checked.
PackedParameter find(const base::BaseManifest& manifest, int unit, const optim::FlatParameter& parameter, const std::string& folder) {
  const base::BaseTensor* tensor = find_tensor(manifest, unit, parameter.info.name);
  if (tensor == nullptr) refuse(folder, fmt::format("its unit {} has no parameter {}", unit, parameter.info.name));
  if (tensor->sizes != parameter.info.sizes) {
    refuse(folder, fmt::format("{} of its unit {} is {}, the model's is {}", parameter.info.name, unit, fmt::join(tensor->sizes, " x "), fmt::join(parameter.info.sizes, " x ")));
  }
  const std::optional<quant::Format> format = quant::format_of(tensor->format);
  if (!format) refuse(folder, fmt::format("{} of its unit {} is packed as {}, which this build can't read", parameter.info.name, unit, tensor->format));
  if (tensor->bytes != quant::packed_bytes(*format, parameter.info.numel)) refuse(folder, fmt::format("{} of its unit {} has {} bytes", parameter.info.name, unit, tensor->bytes));
  return {*format, tensor->offset};
}

void pack(UnitShape& shape, const base::BaseManifest& manifest, int unit, const std::string& folder) {
  std::vector<PackedParameter> packed;
  for (const optim::FlatParameter& parameter : shape.what_is_frozen().parameters) packed.push_back(find(manifest, unit, parameter, folder));
  const std::uint64_t bytes = manifest.kind_of(unit).bytes;
  const auto same = [](const PackedParameter& a, const PackedParameter& b) { return a.format == b.format && a.offset == b.offset; };
  if (shape.is_packed() && (shape.packed_bytes != bytes || !std::equal(packed.begin(), packed.end(), shape.packed.begin(), shape.packed.end(), same))) {
    refuse(folder, fmt::format("its unit {} is packed in another way than those of its kind before it", unit));
  }
  shape.packed = std::move(packed);
  shape.packed_bytes = bytes;
}

}  // namespace

const base::BaseTensor* find_tensor(const base::BaseManifest& manifest, int unit, const std::string& parameter) {
  const std::vector<base::BaseTensor>& tensors = manifest.kind_of(unit).tensors;
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const base::BaseTensor& tensor) { return tensor.name == parameter; });
  return found == tensors.end() ? nullptr : &*found;
}

std::optional<base::Base> open_base(const Config& config) {
  if (config.adapter.base.empty()) return std::nullopt;
  return base::Base::open(config.adapter.base);
}

std::optional<store::BaseFile> base_file(const std::optional<base::Base>& base, const ModelLayout& layout) {
  if (!base) return std::nullopt;
  store::BaseFile file{base->bin_path(), std::vector<store::BaseFile::Place>(layout.object_count())};
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    const auto unit = static_cast<int>(layout.unit_of(object));
    if (layout.is_packed(object)) file.objects[object] = {base->object_offset(unit), base->manifest().kind_of(unit).bytes};
  }
  return file;
}

runtime::BaseHashes base_hashes(const std::optional<base::Base>& base, const ModelLayout& layout) {
  if (!base) return {};
  runtime::BaseHashes hashes{base->hashes(), std::vector<std::uint64_t>(layout.object_count(), 0)};
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    if (layout.is_packed(object)) hashes.first_block[object] = base->object_offset(static_cast<int>(layout.unit_of(object))) / base::kBlockBytes;
  }
  return hashes;
}

void pack(ModelLayout& layout, const base::BaseManifest& manifest, const std::string& folder) {
  if (manifest.units.size() != layout.units.size()) refuse(folder, fmt::format("it is of {} units, the model has {}", manifest.units.size(), layout.units.size()));
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    UnitShape& shape = layout.shapes[static_cast<std::size_t>(layout.units[unit])];
    // What is trained whole begins with the base's values; adapters are none of its.
    for (const optim::FlatParameter& parameter : shape.flat.parameters) {
      if (shape.trained && !is_adapter_parameter(parameter.info.name)) find(manifest, static_cast<int>(unit), parameter, folder);
    }
    if (!shape.what_is_frozen().parameters.empty()) pack(shape, manifest, static_cast<int>(unit), folder);
  }
}

}  // namespace gsnake::plan
