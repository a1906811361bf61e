// The checksums of a commit as a file of their own: a manifest names it and holds its hash, and is valid only with it.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/layout/objects.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {

// Two names, so that the table of a new commit never overwrites that of the commit before.
inline constexpr std::array<const char*, 2> kTableNames{"checksums-a.bin", "checksums-b.bin"};
[[nodiscard]] std::string other_table(const std::string& name);  // the first, where `name` is none of them

// What a manifest says of its table.
struct TableReference {
  std::string file;
  std::uint64_t entries = 0;
  std::uint64_t xxh3 = 0;  // of the file
};
nlohmann::json to_json(const TableReference& reference);
// storage.checksums of a manifest; nothing where it has none. Throws Error(storage) when it is malformed.
std::optional<TableReference> table_of(const Manifest& manifest);

std::vector<std::byte> encode_table(std::span<const Checksum> checksums);
// Throws Error(storage) that names the file when it is missing, torn or not the one that the reference means.
std::vector<Checksum> read_table(const std::string& directory, const TableReference& reference);

// Why `checksums` do not tile all state of `layout`; empty when they do.
std::string tiling_fault(std::span<const Checksum> checksums, const Layout& layout);

}  // namespace gsnake::store
