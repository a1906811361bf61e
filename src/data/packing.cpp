#include "data/packing.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

namespace gsnake::data {

namespace {

constexpr std::int64_t kBlock = 1024;  // documents

// The row of each piece, in the order in which rows are begun.
std::vector<std::size_t> rows_of(const std::vector<Packing::Piece>& pieces, std::int64_t length, std::size_t& count) {
  std::vector<std::size_t> longest_first(pieces.size());
  std::iota(longest_first.begin(), longest_first.end(), std::size_t{0});
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [&](std::size_t a, std::size_t b) { return pieces[a].tokens > pieces[b].tokens; });
  std::vector<std::size_t> rows(pieces.size());
  std::set<std::pair<std::int64_t, std::size_t>> rooms;  // of each row that is not full
  count = 0;
  for (const auto piece : longest_first) {
    const auto places = pieces[piece].tokens - 1;
    auto room = length;
    rows[piece] = count;
    if (const auto found = rooms.lower_bound({places, 0}); found != rooms.end()) {
      std::tie(room, rows[piece]) = *found;
      rooms.erase(found);
    } else {
      ++count;
    }
    if (room > places) rooms.emplace(room - places, rows[piece]);
  }
  return rows;
}

}  // namespace

Packing::Packing(const TokenSource& tokens, std::int64_t length) : length_(length) {
  for (Block at; at.file < tokens.files(); at.rows = rows_) {
    blocks_.push_back(at);
    load(tokens, at);
    rows_ += whole_rows_ + begins_.size() - 1;
    places_ += block_places_;
    longer_ += block_longer_;
  }
  loaded_ = blocks_.size() - 1;
}

// The documents from `at` on, which is left where the next block begins.
void Packing::load(const TokenSource& tokens, Block& at) {
  loaded_ = kNone;
  whole_.clear();
  parts_.clear();
  whole_rows_ = block_places_ = 0;
  block_longer_ = 0;
  for (auto left = kBlock; left > 0 && at.file < tokens.files();) {
    const auto& file = tokens.file(at.file);
    const auto count = std::min(left, file.documents() - at.document);
    documents_.resize(static_cast<std::size_t>(count));
    file.read_documents(at.document, documents_);
    for (const auto& document : documents_) add(at.file, document);
    left -= count;
    at.document += count;
    if (at.document == file.documents()) at = {at.file + 1, 0, at.rows};
  }
  pack();
}

void Packing::add(std::size_t file, const Document& document) {
  if (document.tokens < 2) return;
  const auto places = document.tokens - 1;
  const auto filled = places / length_;
  if (filled > 0) whole_.push_back({{file, document.first, length_ + 1}, whole_rows_});
  if (places % length_ > 0) parts_.push_back({file, document.first + filled * length_, places % length_ + 1});
  whole_rows_ += static_cast<std::uint64_t>(filled);
  block_places_ += static_cast<std::uint64_t>(places);
  block_longer_ += places > length_ ? 1 : 0;
}

void Packing::pack() {
  std::size_t count = 0;
  const auto rows = rows_of(parts_, length_, count);
  std::vector<std::size_t> numbers(count, kNone);  // rows as their first pieces lie
  std::size_t next = 0;
  for (const auto row : rows) {
    if (numbers[row] == kNone) numbers[row] = next++;
  }
  begins_.assign(count + 1, 0);
  for (const auto row : rows) ++begins_[numbers[row] + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  std::vector<std::size_t> ends(begins_.begin(), begins_.end() - 1);
  std::vector<Piece> in_rows(parts_.size());
  for (std::size_t piece = 0; piece < parts_.size(); ++piece) in_rows[ends[numbers[rows[piece]]]++] = parts_[piece];
  parts_ = std::move(in_rows);
}

std::span<const Packing::Piece> Packing::row(const TokenSource& tokens, std::uint64_t row) {
  auto block = std::upper_bound(blocks_.begin(), blocks_.end(), row, [](std::uint64_t r, const Block& b) { return r < b.rows; });
  --block;
  const auto index = static_cast<std::size_t>(block - blocks_.begin());
  if (loaded_ != index) {
    auto at = *block;
    load(tokens, at);
    loaded_ = index;
  }
  const auto left = row - block->rows;
  if (left < whole_rows_) {
    auto whole = std::upper_bound(whole_.begin(), whole_.end(), left, [](std::uint64_t r, const Whole& w) { return r < w.before; });
    --whole;
    alone_ = whole->piece;
    alone_.first += static_cast<std::int64_t>(left - whole->before) * length_;
    return {&alone_, 1};
  }
  const auto packed = static_cast<std::size_t>(left - whole_rows_);
  if (packed + 1 >= begins_.size())
    refuse(tokens.file(block->file).path(), "its documents are not those of before; do not change it during a run");
  return std::span(parts_).subspan(begins_[packed], begins_[packed + 1] - begins_[packed]);
}

}  // namespace gsnake::data
