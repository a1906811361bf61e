// What a frozen base is: the parameters of each unit of a model, packed, in a folder that is never written after it was made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/extent.h"

namespace gsnake::base {

// What is hashed, moved and placed as a whole.
inline constexpr std::uint64_t kBlockBytes = core::kBaseBlockBytes;
// Of every tensor in its object.
inline constexpr std::uint64_t kTensorAlignment = 64;

inline constexpr const char* kManifestName = "base.json";
inline constexpr const char* kObjectsName = "base.bin";    // every unit's object, in order
inline constexpr const char* kHashesName = "base.hashes";  // XXH3-64 of each block of base.bin in order, 8 bytes each, little-endian

struct BaseTensor {
  std::string name;  // as in named_parameters() of the unit
  std::vector<std::int64_t> sizes;
  std::string format;        // how its bytes are to be read
  std::uint64_t offset = 0;  // bytes from the object's start: a multiple of kTensorAlignment
  std::uint64_t bytes = 0;

  bool operator==(const BaseTensor&) const = default;
};

// Units of one kind have the same parameters.
struct BaseKind {
  std::vector<BaseTensor> tensors;  // by offset
  std::uint64_t bytes = 0;          // of an object of this kind, a multiple of kBlockBytes; what is between and behind its tensors is zero

  bool operator==(const BaseKind&) const = default;
};

struct BaseManifest {
  std::string id;        // of the content: 32 hexadecimal digits, see id_of()
  std::string format;    // what was asked for
  nlohmann::json model;  // Hugging Face's config.json
  std::vector<BaseKind> kinds;
  std::vector<int> units;  // the kind of each
  std::string source;      // what it was made of, for people

  [[nodiscard]] const BaseKind& kind_of(int unit) const {
    return kinds.at(static_cast<std::size_t>(units.at(static_cast<std::size_t>(unit))));
  }
};

// Whether the folder has a base's manifest, whatever that says.
[[nodiscard]] bool is_base(const std::filesystem::path& folder);

// Gives tensors whose bytes are known their offsets, one after another, and the kind its size.
void lay_out(BaseKind& kind);

// Which rule a manifest breaks, if it does.
[[nodiscard]] std::optional<std::string> flaw_of(const BaseManifest& manifest);

// Where each unit's object begins in base.bin; one more: where the last one ends. Of a manifest without a flaw.
[[nodiscard]] std::vector<std::uint64_t> object_offsets(const BaseManifest& manifest);

[[nodiscard]] std::uint64_t hash_of(std::span<const std::byte> block) noexcept;

// XXH3-128 over the hashes and over the format, kinds, units and model as compact JSON with sorted keys: what is equal has one id, wherever
// it lies and whatever it was made of. Throws nlohmann::json::exception where a text is no UTF-8.
[[nodiscard]] std::string id_of(const BaseManifest& manifest, std::span<const std::uint64_t> hashes);

// base.json's text. Throws as id_of().
[[nodiscard]] std::string serialize(const BaseManifest& manifest);
// Throws Error(input) for a file that is no manifest of a base, or of another version; Error(storage) for a damaged one. The id is not
// checked.
[[nodiscard]] BaseManifest parse_manifest(const std::string& path, const std::string& text);

}  // namespace gsnake::base
