// Makes a base.
#pragma once

#include <array>
#include <cstdint>
#include <future>
#include <span>
#include <string>
#include <vector>

#include "base/manifest.h"
#include "core/unique_fd.h"
#include "io/aligned_buffer.h"
#include "io/partial_folder.h"

namespace gsnake::base {

// Everything goes to TO.gsnake-partial, which finish() renames; without it nothing is left. All throw Error(storage) that names the path.
// One thread at a time, and no more after it has thrown.
class BaseWriter {
 public:
  // `manifest` needs no id. Takes the whole space at once: where less is free, Error(storage) names need and free. Error(usage) when there
  // is something at `to` that is no empty folder, or another process writes to it; std::logic_error for a manifest with a flaw.
  BaseWriter(const std::string& to, BaseManifest manifest);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return offsets_.back(); }  // of all objects

  // Part of a unit's object. Units, and the pieces of one, come in order; what lies between tensors may be left out and is zero.
  // std::logic_error where a piece goes back, leaves out a tensor's bytes or does not lie in its object.
  void write(int unit, std::uint64_t offset, std::span<const std::byte> piece);
  // A small file beside the base's own.
  void write_file(const std::string& name, const std::string& bytes);
  // Syncs all and gives the folder its name. The base's id. std::logic_error where a tensor has not been written.
  std::string finish();

 private:
  void skip_to(std::uint64_t position);
  void append(std::span<const std::byte> bytes);
  void append_zeros(std::uint64_t count);
  void flush();
  void wait_for_what_is_behind();
  void hash_and_write(std::span<const std::byte> whole, std::uint64_t offset);
  [[nodiscard]] bool is_padding(std::uint64_t from, std::uint64_t to) const;

  BaseManifest manifest_;
  std::vector<std::uint64_t> offsets_;
  io::PartialFolder folder_;
  core::UniqueFd fd_;        // of base.bin
  core::UniqueFd table_fd_;  // of base.hashes
  std::array<io::AlignedBuffer, 2> buffers_;
  std::size_t current_ = 0;    // the buffer that is filled, while the other is written
  std::size_t filled_ = 0;     // bytes of it
  std::uint64_t flushed_ = 0;  // bytes of base.bin, written or on their way
  std::vector<std::uint64_t> hashes_;
  bool broken_ = false;
  std::future<void> behind_;  // the other buffer's; last, for it uses the rest
};

}  // namespace gsnake::base
