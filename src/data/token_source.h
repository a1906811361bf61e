// Files of text or tokens, read as one sequence of token ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/token_file.h"

namespace gsnake::data {

// The tokens of several files, in their order, with `separator` (where it is not -1) between two files. Nothing is loaded or mapped: tokens
// are read through the page cache when they are asked for, so that a corpus of any size costs no resident memory beyond what token_file.h
// and its neighbours say of each format.
class TokenSource {
 public:
  // bare: of ids in a .bin without a header whose entry says nothing. answer: as open_token_file() has it. Throws Error(input) when a file is missing, empty, not a regular file, or malformed.
  TokenSource(const std::vector<DataFile>& files, std::int64_t vocab, std::int64_t separator, Access access, TokenDtype bare = TokenDtype::automatic,
              std::int64_t answer = 0);

  // Tokens, separators included.
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t separator() const noexcept { return separator_; }

  // Tokens first, first + 1, ... into `ids`; first >= 0 and first + ids.size() <= size(). counted[i], where there are any: whether the loss
  // counts token i as a label; separators count. Blocks. Safe from several threads at once. Throws Error(input), naming file and byte
  // offset, for a token that is not below `vocab` and for a failed or short read.
  void read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted = {}) const;

  // The files, and where the first token of each is in the sequence.
  [[nodiscard]] std::size_t files() const noexcept { return files_.size(); }
  [[nodiscard]] const TokenFile& file(std::size_t index) const { return *files_[index].tokens; }
  [[nodiscard]] std::int64_t first_of(std::size_t index) const { return files_[index].first; }

  // "a.txt" or "a.txt and 3 more files", for messages.
  [[nodiscard]] std::string describe() const;

 private:
  struct File {
    std::unique_ptr<TokenFile> tokens;
    std::int64_t first = 0;  // position of its first token in the sequence
  };

  std::vector<File> files_;
  std::int64_t separator_;
  std::int64_t size_ = 0;
};

}  // namespace gsnake::data
