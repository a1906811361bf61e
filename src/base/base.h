// A base that is there, for reading.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/manifest.h"
#include "core/unique_fd.h"

namespace gsnake::base {

using ByteProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

// Move-only. Any number of threads and processes may read one at once.
class Base {
 public:
  // Reads the manifest and the hashes, and checks that they belong together; of the objects, their file's size. Throws Error(input) for a
  // folder that is no base and says what to do, Error(storage) for one that is damaged or can't be read.
  static Base open(const std::string& folder);

  [[nodiscard]] const BaseManifest& manifest() const noexcept { return manifest_; }
  [[nodiscard]] const std::string& bin_path() const noexcept { return bin_path_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return offsets_.back(); }  // of all objects
  // Of a unit's object in base.bin: a multiple of kBlockBytes.
  [[nodiscard]] std::uint64_t object_offset(int unit) const;
  // XXH3-64 of every block of base.bin, in order.
  [[nodiscard]] std::span<const std::uint64_t> hashes() const noexcept { return hashes_; }

  // Part of a unit's object, through the page cache, checked against the hashes. Throws Error(storage) that names file, offset and both
  // hashes; std::logic_error where the part does not lie in the object.
  void read(int unit, std::uint64_t offset, std::span<std::byte> part) const;
  // Reads all and checks it. Throws as read(); what `progress`, which may be empty, throws ends it.
  void verify(const ByteProgress& progress) const;

 private:
  Base() = default;
  void read_table(const std::string& folder);
  void open_objects();
  // Whole blocks, from the one with this number.
  void read_blocks(std::uint64_t first, std::span<std::byte> blocks) const;

  BaseManifest manifest_;
  std::vector<std::uint64_t> offsets_;
  std::vector<std::uint64_t> hashes_;
  std::string bin_path_;
  core::UniqueFd fd_;
};

}  // namespace gsnake::base
