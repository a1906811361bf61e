// Tokens of one width behind one another: text, nanoGPT's and llm.c's .bin, Megatron's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/input_file.h"
#include "data/megatron.h"
#include "data/token_file.h"

namespace gsnake::data {

// What lies where in an array of tokens.
struct ArrayLayout {
  std::string format;
  std::int64_t data_offset = 0;  // bytes before the first token
  std::int64_t token_bytes = 1;
  bool is_signed = false;
};

// llm.c's header of 256 int32 at the start of a .bin: magic 20240520 and version 1 before uint16 tokens, 20240801 and 7 before uint32 ones,
// then how many. Empty for a file that begins otherwise. Throws Error(input) for a header that does not fit the file.
std::optional<ArrayLayout> llmc_layout(const InputFile& file);

class MaskFile;

class ArrayFile final : public TokenFile {
 public:
  // Text: its bytes are the tokens, but for a byte-order mark; the file is one document. Else an array of ids, with its index where there is one. What
  // says nothing of its ids has those of `dtype`; automatic: uint16, which is refused where vocab is larger, and warned about where every second id is 0.
  static std::unique_ptr<ArrayFile> open_text(const std::string& path, std::int64_t vocab, Access access);
  static std::unique_ptr<ArrayFile> open_bin(const std::string& path, std::int64_t vocab, Access access, TokenDtype dtype = TokenDtype::automatic,
                                             TokenDtype bare = TokenDtype::automatic);
  ~ArrayFile() override;

  // Throws Error(input) when the mask is not of this file's tokens.
  void set_mask(const std::string& path, Access access);

  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  [[nodiscard]] std::string format() const override { return layout_.format; }
  [[nodiscard]] std::int64_t tokens() const override { return tokens_; }
  [[nodiscard]] bool is_text() const override { return is_text_; }
  [[nodiscard]] bool lists_documents() const override { return is_text_ || index_.has_value(); }
  [[nodiscard]] bool holds_examples() const override { return false; }
  [[nodiscard]] std::int64_t documents() const override { return index_ ? index_->documents() : 1; }
  [[nodiscard]] std::vector<const InputFile*> inputs() const override;
  void read_documents(std::int64_t first, std::span<Document> out) const override;
  void read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const override;

 private:
  ArrayFile(InputFile file, ArrayLayout layout, std::optional<MegatronIndex> index, std::int64_t vocab);
  void check(std::int64_t first, std::span<const std::int64_t> ids) const;

  InputFile file_;
  ArrayLayout layout_;
  std::optional<MegatronIndex> index_;
  std::int64_t vocab_;
  bool is_text_ = false;
  std::int64_t tokens_ = 0;
  std::unique_ptr<MaskFile> mask_;
};

// Where the index of a Megatron .bin is, if there is one: NAME.idx beside NAME.bin.
std::optional<std::string> megatron_index_of(const std::string& bin);

}  // namespace gsnake::data
