// A sequence of tokens cut into the rows that a model is trained on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/packing.h"
#include "data/token_source.h"
#include "greedysnake/batch.h"
#include "greedysnake/choices.h"

namespace gsnake::data {

// Window w of a joined or masked sequence is its tokens w x length, ..., with as many labels, shifted by one: it shares one token with
// window w + 1. What is left at the end and fills no window is not used. Separate documents are cut alike, each by itself, and their last
// windows are filled up with labels that do not count; a document of one token has none. Where a window lies is found from a count that is
// kept of every 1024th document alone. Packed documents lie as Packing says, and no label of a window is another document's.
// Of a file of preference pairs a window is a pair, two rows: prompt and answer each, filled up; where one has more than length + 1 tokens, both
// prompts lose the same number on their left.
class Windows {
 public:
  // `documents` is not automatic. Throws Error(input) when there is no window; Error(usage) when documents are to be separate or packed and a
  // file does not list them.
  Windows(TokenSource tokens, std::int64_t length, Documents documents);

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] const TokenSource& tokens() const noexcept { return tokens_; }
  [[nodiscard]] Documents documents() const noexcept { return documents_; }
  [[nodiscard]] std::int64_t longer_documents() const noexcept { return longer_; }  // than a row, so that they are cut; separate and packed alone
  // The share of the windows' places that documents take; 1 unless they are packed.
  [[nodiscard]] double filled() const noexcept;

  [[nodiscard]] std::int64_t rows() const noexcept { return pairs_ ? 2 : 1; }  // of a window
  [[nodiscard]] std::int64_t cut_prompts() const noexcept { return cut_prompts_; }  // pairs

  // Inputs and labels of a window, rows() x `length` each; of packed documents also where each begins, as Batch::starts has it, into `starts` if it is given.
  // Blocks; not safe from several threads at once. Throws what TokenSource::read throws.
  void read(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels, std::vector<std::int32_t>* starts = nullptr);

  // The first window from `window` on that does not go on with a document of the one before it; `window` itself unless documents are
  // separate.
  [[nodiscard]] std::uint64_t boundary_from(std::uint64_t window) const;

 private:
  struct Block {
    std::size_t file = 0;
    std::int64_t document = 0;  // the first one
    std::uint64_t windows = 0;  // before it
  };
  struct Piece {
    std::size_t file = 0;
    Document document;
    std::uint64_t index = 0;  // of the document's windows
  };

  [[nodiscard]] std::uint64_t windows_of(const Document& document) const;
  void count_windows();
  void count_documents();
  void require_documents() const;
  void count_pairs();
  void read_pair(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels);
  void read_packed(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels, std::vector<std::int32_t>* starts);
  void fill_up(std::size_t valid);
  void shift(std::span<std::int64_t> inputs, std::span<std::int64_t> labels) const;
  [[nodiscard]] Piece piece_of(std::uint64_t window) const;
  void mark_starts(std::int64_t first);

  TokenSource tokens_;
  std::int64_t length_;
  Documents documents_;
  bool pairs_;
  std::uint64_t count_ = 0;
  std::int64_t longer_ = 0;
  std::int64_t cut_prompts_ = 0;
  std::vector<Block> blocks_;  // of separate documents; of pairs, one a file
  std::optional<Packing> packing_;
  std::vector<std::int64_t> ids_;  // of the window that is read, and the token behind it
  std::vector<std::uint8_t> counted_;
};

}  // namespace gsnake::data
