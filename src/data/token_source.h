// Files of text or tokens, read as one sequence of token ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/unique_fd.h"

namespace gsnake::data {

// What the kernel may expect of the reads to come.
enum class Access { sequential, random };

// The tokens of several files, in their order, with `separator` (where it is not -1) between two files. A file's name says what is in it:
// .bin is little-endian uint16 tokens, either nothing else (nanoGPT) or behind llm.c's header of 1024 bytes; any other file is text, whose
// bytes are the tokens. Nothing is loaded or mapped: tokens are read through the page cache when they are asked for, so that a corpus of
// any size costs no heap and no resident memory, and a file that is cut short meanwhile is an error and not a signal.
class TokenSource {
 public:
  // Throws Error(input) when a file is missing, empty, not a regular file, or malformed.
  TokenSource(const std::vector<std::string>& paths, std::int64_t vocab, std::int64_t separator, Access access);

  // Tokens, separators included.
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

  // Tokens first, first + 1, ... into `out`; first >= 0 and first + out.size() <= size(). Blocks. Safe from several threads at once.
  // Throws Error(input), naming file and byte offset, for a token that is not below `vocab` and for a failed or short read.
  void read(std::int64_t first, std::span<std::int64_t> out) const;

  // "a.txt" or "a.txt and 3 more files", for messages.
  [[nodiscard]] std::string describe() const;

 private:
  struct File {
    std::string path;
    core::UniqueFd fd;
    std::int64_t first = 0;  // position of its first token in the sequence
    std::int64_t tokens = 0;
    std::int64_t data_offset = 0;  // bytes before the first token
    std::int64_t token_bytes = 1;  // 1 or 2
  };

  static File open(const std::string& path, Access access);
  void read_file(const File& file, std::int64_t first, std::span<std::int64_t> out) const;
  void check(const File& file, std::int64_t first, std::span<const std::int64_t> tokens) const;

  std::vector<File> files_;
  std::int64_t vocab_;
  std::int64_t separator_;
  std::int64_t size_ = 0;
};

}  // namespace gsnake::data
