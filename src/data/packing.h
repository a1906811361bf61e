// Documents put together into rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/token_source.h"

namespace gsnake::data {

// Rows of `length` inputs from documents that the files list. A document of t tokens takes t - 1 of a row's places, since its last token is
// a label alone; one that takes more than a row fills rows by itself, and what is left of it is packed like the others. Documents are
// packed 1024 at a time in the data's order, each 1024 into rows of their own: the longest first, each into the row with the least room
// that holds it (best-fit decreasing; Johnson, 1973). Rows of 1024 documents lie so: those that a document fills, then the others, as their
// first documents lie. What is kept is 24 bytes every 1024 documents, and the rows that were last looked up.
class Packing {
 public:
  struct Piece {
    std::size_t file = 0;
    std::int64_t first = 0;   // of its tokens in the file
    std::int64_t tokens = 0;  // at least 2, at most length + 1: one more than the places it takes
  };

  // All of its files list documents. Throws Error(input) where a file cannot be read.
  Packing(const TokenSource& tokens, std::int64_t length);

  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::uint64_t places() const noexcept { return places_; }           // that documents take in all rows
  [[nodiscard]] std::int64_t longer_documents() const noexcept { return longer_; }  // than a row

  // What lies in a row, in the data's order; valid until the next call. `tokens` are the constructor's. Not safe from several threads at
  // once.
  [[nodiscard]] std::span<const Piece> row(const TokenSource& tokens, std::uint64_t row);

 private:
  struct Block {
    std::size_t file = 0;
    std::int64_t document = 0;  // the first one
    std::uint64_t rows = 0;     // before it
  };
  struct Whole {
    Piece piece;               // its first row's
    std::uint64_t before = 0;  // rows of the block that documents before it fill
  };

  void load(const TokenSource& tokens, Block& at);
  void add(std::size_t file, const Document& document);
  void pack();

  std::int64_t length_;
  std::uint64_t rows_ = 0;
  std::uint64_t places_ = 0;
  std::int64_t longer_ = 0;
  std::vector<Block> blocks_;

  // Of the block that was last loaded.
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t loaded_ = kNone;
  std::vector<Whole> whole_;  // documents that fill rows
  std::uint64_t whole_rows_ = 0;
  std::vector<Piece> parts_;         // what is packed, row by row
  std::vector<std::size_t> begins_;  // of each packed row in parts_, and their end
  std::uint64_t block_places_ = 0;
  std::int64_t block_longer_ = 0;
  std::vector<Document> documents_;
  Piece alone_;
};

}  // namespace gsnake::data
