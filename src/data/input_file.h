// A file that is read through the page cache, and how whatever is wrong with it is refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <system_error>

#include "core/unique_fd.h"

namespace gsnake::data {

// What the kernel may expect of the reads to come.
enum class Access { sequential, random };

// Error(input): "cannot read tokens from PATH: WHY".
[[noreturn]] void refuse(const std::string& path, const std::string& why, std::error_code code = {});

// A regular file, open for reading. Not mapped: reads through the page cache cost no resident memory of ours, and a file that is cut short
// meanwhile is an error and not a signal. Safe from several threads at once.
class InputFile {
 public:
  // Throws Error(input) when it is missing or not a regular file.
  InputFile(std::string path, Access access);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }  // in bytes, when it was opened

  // Exactly out.size() bytes from `offset` on. Blocks. Throws Error(input), naming the offset, for a failed or short read.
  void read(std::int64_t offset, std::span<std::uint8_t> out) const;

 private:
  std::string path_;
  core::UniqueFd fd_;
  std::int64_t size_ = 0;
};

// Bytes of the mark that a UTF-8 text may begin with, which is none of its text. Throws as InputFile::read().
std::int64_t byte_order_mark(const InputFile& file);

// The integer in `bytes`, 1 to 8 of them, lowest first; sign-extended where `is_signed`.
std::int64_t little_endian(std::span<const std::uint8_t> bytes, bool is_signed);

}  // namespace gsnake::data
