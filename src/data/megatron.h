// Megatron's index of a .bin: where its sequences and documents begin.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/input_file.h"
#include "data/token_file.h"

namespace gsnake::data {

// MMIDIDX, version 1: magic of 9 bytes, version (u64), type of the tokens (u8), sequences S and document bounds D (u64), then S sizes in
// tokens (i32), S offsets in the .bin (i64), D first sequences of documents (i64; the last one is S), and S modes (i8), which are not used
// and may be missing. All of it is checked when it is opened; nothing of it is kept in memory.
class MegatronIndex {
 public:
  // `bin` is what it is the index of, `bin_bytes` long. Throws Error(input), naming the offset in the index.
  MegatronIndex(const std::string& path, const std::string& bin, std::int64_t bin_bytes);

  [[nodiscard]] const InputFile& file() const noexcept { return file_; }
  [[nodiscard]] std::int64_t token_bytes() const noexcept { return token_bytes_; }
  [[nodiscard]] bool is_signed() const noexcept { return signed_; }
  [[nodiscard]] std::string type() const;  // "int32"
  [[nodiscard]] std::int64_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::int64_t documents() const noexcept { return bounds_ - 1; }
  void read_documents(std::int64_t first, std::span<Document> out) const;  // as TokenFile's

 private:
  void read_header();
  void check_sequences();
  void check_documents() const;
  [[nodiscard]] std::int64_t token_at(std::int64_t sequence) const;  // its first token

  InputFile file_;
  std::string bin_;
  std::int64_t bin_bytes_;
  std::int64_t token_bytes_ = 0;
  bool signed_ = false;
  std::int64_t tokens_ = 0;
  std::int64_t sequences_ = 0;
  std::int64_t bounds_ = 0;
};

}  // namespace gsnake::data
