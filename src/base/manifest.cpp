#include "base/manifest.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <limits>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "core/bytes.h"

namespace gsnake::base {
namespace {

using nlohmann::json;

constexpr const char* kWhat = "greedysnake-base";
constexpr int kVersion = 1;
constexpr int kMostDeep = 64;
constexpr std::uint64_t kMostBytes = 1ULL << 60;  // of all objects; sums of two stay far from an overflow

json json_of(const BaseTensor& tensor) {
  return {{"name", tensor.name}, {"sizes", tensor.sizes}, {"format", tensor.format}, {"offset", tensor.offset}, {"bytes", tensor.bytes}};
}

json json_of(const BaseKind& kind) {
  json tensors = json::array();
  for (const BaseTensor& tensor : kind.tensors) tensors.push_back(json_of(tensor));
  return {{"bytes", kind.bytes}, {"tensors", std::move(tensors)}};
}

// What the id is over, beside the hashes.
json content_of(const BaseManifest& manifest) {
  json kinds = json::array();
  for (const BaseKind& kind : manifest.kinds) kinds.push_back(json_of(kind));
  return {{"format", manifest.format}, {"model", manifest.model}, {"kinds", std::move(kinds)}, {"units", manifest.units}};
}

std::uint64_t count_of(const json& value) {
  if (!value.is_number_unsigned()) throw std::invalid_argument(fmt::format("{} is no count", value.dump()));
  return value.get<std::uint64_t>();
}

std::int64_t whole_of(const json& value) {
  const std::uint64_t count = count_of(value);
  if (count > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) throw std::invalid_argument("a size is out of range");
  return static_cast<std::int64_t>(count);
}

BaseTensor tensor_of(const json& value) {
  BaseTensor tensor{value.at("name").get<std::string>(),
                    {},
                    value.at("format").get<std::string>(),
                    count_of(value.at("offset")),
                    count_of(value.at("bytes"))};
  for (const json& size : value.at("sizes")) tensor.sizes.push_back(whole_of(size));
  return tensor;
}

BaseManifest manifest_of(const json& body) {
  BaseManifest manifest;
  manifest.id = body.at("id").get<std::string>();
  manifest.format = body.at("format").get<std::string>();
  manifest.model = body.at("model");
  manifest.source = body.at("source").get<std::string>();
  for (const json& kind : body.at("kinds")) {
    BaseKind& made = manifest.kinds.emplace_back();
    made.bytes = count_of(kind.at("bytes"));
    for (const json& tensor : kind.at("tensors")) made.tensors.push_back(tensor_of(tensor));
  }
  for (const json& unit : body.at("units")) {
    const std::uint64_t kind = count_of(unit);
    if (kind >= manifest.kinds.size()) throw std::invalid_argument(fmt::format("a unit is of kind {}, which there is not", kind));
    manifest.units.push_back(static_cast<int>(kind));
  }
  return manifest;
}

std::optional<std::string> flaw_of(const BaseKind& kind) {
  if (kind.bytes % kBlockBytes != 0) return fmt::format("an object of {} B is no whole number of blocks", kind.bytes);
  if (kind.bytes > kMostBytes) return fmt::format("an object has {} B", kind.bytes);
  std::set<std::string> names;
  std::uint64_t end = 0;
  for (const BaseTensor& tensor : kind.tensors) {
    if (tensor.name.empty() || !names.insert(tensor.name).second)
      return fmt::format("the name \"{}\" is empty or occurs twice", tensor.name);
    if (tensor.offset % kTensorAlignment != 0)
      return fmt::format("{} begins at {}, no multiple of {}", tensor.name, tensor.offset, kTensorAlignment);
    if (tensor.offset < end || tensor.offset > kind.bytes || tensor.bytes > kind.bytes - tensor.offset) {
      return fmt::format("{} ({} B at {}) overlaps another or does not lie in its object of {} B", tensor.name, tensor.bytes, tensor.offset,
                         kind.bytes);
    }
    end = tensor.offset + tensor.bytes;
  }
  return std::nullopt;
}

}  // namespace

bool is_base(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::exists(folder / kManifestName, ignored);
}

void lay_out(BaseKind& kind) {
  std::uint64_t end = 0;
  for (BaseTensor& tensor : kind.tensors) {
    tensor.offset = core::round_up(end, kTensorAlignment);
    end = tensor.offset + tensor.bytes;
  }
  kind.bytes = core::round_up(end, kBlockBytes);
}

std::optional<std::string> flaw_of(const BaseManifest& manifest) {
  if (!manifest.model.is_object()) return "its model is no JSON object";
  for (const BaseKind& kind : manifest.kinds) {
    if (std::optional<std::string> flaw = flaw_of(kind)) return flaw;
  }
  std::uint64_t sum = 0;
  for (const int kind : manifest.units) {
    if (kind < 0 || static_cast<std::size_t>(kind) >= manifest.kinds.size())
      return fmt::format("a unit is of kind {}, which there is not", kind);
    sum += manifest.kinds[static_cast<std::size_t>(kind)].bytes;
    if (sum > kMostBytes) return "its objects have too many bytes";
  }
  if (sum == 0) return "it has no parameters";
  return std::nullopt;
}

std::vector<std::uint64_t> object_offsets(const BaseManifest& manifest) {
  std::vector<std::uint64_t> offsets{0};
  for (std::size_t unit = 0; unit < manifest.units.size(); ++unit) {
    offsets.push_back(offsets.back() + manifest.kind_of(static_cast<int>(unit)).bytes);
  }
  return offsets;
}

std::uint64_t hash_of(std::span<const std::byte> block) noexcept { return XXH3_64bits(block.data(), block.size()); }

std::string id_of(const BaseManifest& manifest, std::span<const std::uint64_t> hashes) {
  const std::string content = content_of(manifest).dump();
  const XXH128_hash_t table = XXH3_128bits(hashes.data(), hashes.size_bytes());
  const std::string whole = fmt::format("{:016x}{:016x} {} {}", table.high64, table.low64, hashes.size(), content);
  const XXH128_hash_t id = XXH3_128bits(whole.data(), whole.size());
  return fmt::format("{:016x}{:016x}", id.high64, id.low64);
}

std::string serialize(const BaseManifest& manifest) {
  json body = content_of(manifest);
  body["what"] = kWhat;
  body["version"] = kVersion;
  body["id"] = manifest.id;
  body["source"] = manifest.source;
  return body.dump(1) + '\n';
}

BaseManifest parse_manifest(const std::string& path, const std::string& text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > kMostDeep) throw std::invalid_argument(fmt::format("it is nested more than {} deep", kMostDeep));
    return true;
  };
  try {
    const json body = json::parse(text, shallow);
    if (!body.is_object() || body.value("what", json()) != kWhat) refuse_folder(path, "it is no manifest of a base");
    if (const json version = body.value("version", json()); version != kVersion) {
      refuse_folder(path, fmt::format("it is of version {}, and this build reads version {}", version.dump(), kVersion));
    }
    BaseManifest manifest = manifest_of(body);
    if (const std::optional<std::string> flaw = flaw_of(manifest)) throw_damaged("read", path, *flaw);
    return manifest;
  } catch (const json::exception& error) {
    throw_damaged("read", path, error.what());
  } catch (const std::invalid_argument& error) {
    throw_damaged("read", path, error.what());
  }
}

}  // namespace gsnake::base
