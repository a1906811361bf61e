// Files to measure drives with, that nothing is left of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/file.h"

namespace gsnake::measure {

// No zeros: a drive may compress or skip them. The same bytes at each call.
void fill_with_noise(std::span<std::byte> memory) noexcept;

inline constexpr std::uint64_t kTestFileMultiple = 16ULL << 20;

// Nameless files of equal size, preallocated and written once: a block that never was is read without asking the drive.
class TestFiles {
 public:
  // `per_directory` files in each, of `total_bytes` together, rounded up to 16 MiB each. Throws Error(storage).
  TestFiles(const std::vector<std::string>& directories, unsigned per_directory, std::uint64_t total_bytes, io::DirectIo direct);

  [[nodiscard]] const std::vector<io::File>& files() const noexcept { return files_; }
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_bytes_; }
  [[nodiscard]] std::uint64_t total_bytes() const noexcept { return file_bytes_ * files_.size(); }
  [[nodiscard]] bool direct() const noexcept;
  [[nodiscard]] std::string buffered_reason() const;
  // What is read next comes from the drive; nothing where files are direct.
  void drop_cache() const;

 private:
  explicit TestFiles(std::uint64_t file_bytes) : file_bytes_(file_bytes) {}
  void add(const std::string& directory, io::DirectIo direct, io::AlignedBuffer& content);

  std::uint64_t file_bytes_;
  std::vector<io::File> files_;
};

}  // namespace gsnake::measure
