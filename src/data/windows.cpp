#include "data/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "greedysnake/error.h"

namespace gsnake::data {

namespace {

constexpr std::int64_t kBlock = 1024;  // documents

// Documents `first`, ... of a file, as far as they are in one block.
std::vector<Document> block_of(const TokenFile& file, std::int64_t first) {
  std::vector<Document> documents(static_cast<std::size_t>(std::min(kBlock, file.documents() - first)));
  file.read_documents(first, documents);
  return documents;
}

// The first document that starts at or behind `token`; documents() where none does.
std::int64_t document_from(const TokenFile& file, std::int64_t token) {
  std::int64_t low = 0;
  std::int64_t high = file.documents();
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    Document document;
    file.read_documents(middle, {&document, 1});
    if (document.first >= token) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace

Windows::Windows(TokenSource tokens, std::int64_t length, Documents documents)
    : tokens_(std::move(tokens)),
      length_(length),
      documents_(documents),
      pairs_(tokens_.file(0).holds_pairs()) {
  count_windows();
  if (count_ > 0) {
    ids_.resize(static_cast<std::size_t>(length) + 1);
    counted_.resize(static_cast<std::size_t>(length) + 1);
    return;
  }
  if (documents_ == Documents::separate || documents_ == Documents::packed) {
    throw Error(ErrorKind::input,
                fmt::format("{}: no document has the two tokens that a row needs at least; add others", tokens_.describe()));
  }
  throw Error(ErrorKind::input, fmt::format("{}: {} tokens do not fill one row; train.sequence_length = {} needs {}: add text or lower it",
                                            tokens_.describe(), tokens_.size(), length_, length_ + 1));
}

void Windows::count_windows() {
  if (pairs_) {
    count_pairs();
  } else if (documents_ == Documents::separate) {
    require_documents();
    count_documents();
  } else if (documents_ == Documents::packed) {
    require_documents();
    packing_.emplace(tokens_, length_);
    count_ = packing_->rows();
    longer_ = packing_->longer_documents();
  } else if (tokens_.size() > length_) {
    count_ = static_cast<std::uint64_t>((tokens_.size() - 1) / length_);
  }
}

void Windows::count_pairs() {
  for (std::size_t f = 0; f < tokens_.files(); ++f) {
    const auto& file = tokens_.file(f);
    blocks_.push_back({f, 0, count_});
    for (std::int64_t first = 0; first < file.documents(); first += kBlock) {
      const auto documents = block_of(file, first);
      for (std::size_t d = 0; d < documents.size(); d += 2) {
        cut_prompts_ += std::max(documents[d].tokens, documents[d + 1].tokens) > length_ + 1 ? 1 : 0;
      }
    }
    count_ += static_cast<std::uint64_t>(file.documents() / 2);
  }
}

double Windows::filled() const noexcept {
  return packing_ ? static_cast<double>(packing_->places()) / (static_cast<double>(count_) * static_cast<double>(length_)) : 1.0;
}

void Windows::require_documents() const {
  for (std::size_t f = 0; f < tokens_.files(); ++f) {
    const auto& file = tokens_.file(f);
    if (file.lists_documents()) continue;
    throw Error(ErrorKind::usage, fmt::format("data.documents = \"{}\": {} ({}) does not say where its documents begin; set it to "
                                              "\"masked\" with data.separator, or write Megatron's .bin and .idx",
                                              word_of(documents_), file.path(), file.format()));
  }
}

std::uint64_t Windows::windows_of(const Document& document) const {
  return document.tokens < 2 ? 0 : static_cast<std::uint64_t>((document.tokens - 2) / length_ + 1);
}

void Windows::count_documents() {
  for (std::size_t f = 0; f < tokens_.files(); ++f) {
    const auto& file = tokens_.file(f);
    for (std::int64_t first = 0; first < file.documents(); first += kBlock) {
      blocks_.push_back({f, first, count_});
      for (const auto& document : block_of(file, first)) {
        count_ += windows_of(document);
        longer_ += document.tokens > length_ + 1 ? 1 : 0;
      }
    }
  }
}

Windows::Piece Windows::piece_of(std::uint64_t window) const {
  auto block = std::upper_bound(blocks_.begin(), blocks_.end(), window, [](std::uint64_t w, const Block& b) { return w < b.windows; });
  --block;
  auto left = window - block->windows;
  for (const auto& document : block_of(tokens_.file(block->file), block->document)) {
    const auto own = windows_of(document);
    if (left < own) return {block->file, document, left};
    left -= own;
  }
  refuse(tokens_.file(block->file).path(), "its documents are not those of before; do not change it during a run");
}

std::uint64_t Windows::boundary_from(std::uint64_t window) const {
  if (pairs_ || documents_ != Documents::separate || window >= count_) return window;
  const auto piece = piece_of(window);
  return piece.index == 0 ? window : window - piece.index + windows_of(piece.document);
}

// Labels that begin a document are not counted: `first` is the position of ids_[0].
void Windows::mark_starts(std::int64_t first) {
  const auto end = first + static_cast<std::int64_t>(ids_.size());
  for (std::size_t f = 0; f < tokens_.files(); ++f) {
    const auto& file = tokens_.file(f);
    const auto begin = tokens_.first_of(f);
    if (begin >= end || begin + file.tokens() <= first) continue;
    for (auto d = document_from(file, std::max<std::int64_t>(first - begin, 0)); d < file.documents(); ++d) {
      Document document;
      file.read_documents(d, {&document, 1});
      const auto position = begin + document.first - first;
      if (position >= static_cast<std::int64_t>(ids_.size())) break;
      if (position >= 0) counted_[static_cast<std::size_t>(position)] = 0;
    }
  }
  for (std::size_t i = 0; i + 1 < ids_.size(); ++i) {
    if (tokens_.separator() >= 0 && ids_[i] == tokens_.separator()) counted_[i + 1] = 0;
  }
}

void Windows::read_pair(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels) {
  auto block = std::upper_bound(blocks_.begin(), blocks_.end(), window, [](std::uint64_t w, const Block& b) { return w < b.windows; });
  --block;
  const auto& file = tokens_.file(block->file);
  std::array<Document, 2> documents;
  file.read_documents(2 * static_cast<std::int64_t>(window - block->windows), documents);
  const auto cut = std::max<std::int64_t>(std::max(documents[0].tokens, documents[1].tokens) - (length_ + 1), 0);
  const auto row = static_cast<std::size_t>(length_);
  for (std::size_t answer = 0; answer < documents.size(); ++answer) {
    const auto valid = static_cast<std::size_t>(documents[answer].tokens - cut);
    fill_up(valid);
    file.read(documents[answer].first + cut, std::span(ids_).first(valid), std::span(counted_).first(valid));
    shift(inputs.subspan(answer * row, row), labels.subspan(answer * row, row));
  }
}

// What the first `valid` tokens of a row leave: inputs that no label counts.
void Windows::fill_up(std::size_t valid) {
  std::fill(ids_.begin() + static_cast<std::ptrdiff_t>(valid), ids_.end(), std::max<std::int64_t>(tokens_.separator(), 0));
  std::fill(counted_.begin() + static_cast<std::ptrdiff_t>(valid), counted_.end(), std::uint8_t{0});
}

void Windows::shift(std::span<std::int64_t> inputs, std::span<std::int64_t> labels) const {
  std::copy(ids_.begin(), ids_.end() - 1, inputs.begin());
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = counted_[i + 1] != 0 ? ids_[i + 1] : kIgnoredLabel;
}

void Windows::read_packed(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels, std::vector<std::int32_t>* starts) {
  if (starts != nullptr) starts->clear();
  std::size_t place = 0;
  const auto begin = [&] {
    if (starts != nullptr) starts->push_back(static_cast<std::int32_t>(place));
  };
  for (const auto& piece : packing_->row(tokens_, window)) {
    const auto size = static_cast<std::size_t>(piece.tokens);
    tokens_.file(piece.file).read(piece.first, std::span(ids_).first(size), std::span(counted_).first(size));
    begin();
    for (std::size_t i = 0; i + 1 < size; ++i, ++place) {
      inputs[place] = ids_[i];
      labels[place] = counted_[i + 1] != 0 ? ids_[i + 1] : kIgnoredLabel;
    }
  }
  if (place == inputs.size()) return;
  begin();
  std::fill(inputs.begin() + static_cast<std::ptrdiff_t>(place), inputs.end(), std::max<std::int64_t>(tokens_.separator(), 0));
  std::fill(labels.begin() + static_cast<std::ptrdiff_t>(place), labels.end(), kIgnoredLabel);
}

void Windows::read(std::uint64_t window, std::span<std::int64_t> inputs, std::span<std::int64_t> labels, std::vector<std::int32_t>* starts) {
  if (packing_) return read_packed(window, inputs, labels, starts);
  if (pairs_) return read_pair(window, inputs, labels);
  if (documents_ == Documents::separate) {
    const auto piece = piece_of(window);
    const auto begin = static_cast<std::int64_t>(piece.index) * length_;
    const auto valid = static_cast<std::size_t>(std::min(length_ + 1, piece.document.tokens - begin));
    fill_up(valid);
    tokens_.file(piece.file).read(piece.document.first + begin, std::span(ids_).first(valid), std::span(counted_).first(valid));
  } else {
    const auto first = static_cast<std::int64_t>(window) * length_;
    tokens_.read(first, ids_, counted_);
    if (documents_ == Documents::masked) mark_starts(first);
  }
  shift(inputs, labels);
}

}  // namespace gsnake::data
