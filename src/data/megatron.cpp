#include "data/megatron.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace gsnake::data {

namespace {

constexpr std::array<std::uint8_t, 9> kMagic{'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
constexpr std::int64_t kHeaderBytes = 34;
constexpr std::int64_t kSizeBytes = 4;
constexpr std::int64_t kOffsetBytes = 8;
constexpr std::int64_t kBlock = 1 << 14;  // entries that are checked at once

struct Type {
  std::int64_t bytes;
  bool is_signed;
};

// By the index's code; 0 bytes: not of token ids. 6 and 7 are floats.
constexpr std::array<Type, 9> kTypes{
    {{0, false}, {1, false}, {1, true}, {2, true}, {4, true}, {8, true}, {0, false}, {0, false}, {2, false}}};

// Entries of `bytes` each, lowest byte first.
std::vector<std::int64_t> read_entries(const InputFile& file, std::int64_t offset, std::int64_t count, std::int64_t bytes) {
  std::vector<std::uint8_t> raw(static_cast<std::size_t>(count * bytes));
  file.read(offset, raw);
  std::vector<std::int64_t> entries(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i] = little_endian(std::span(raw).subspan(i * static_cast<std::size_t>(bytes), static_cast<std::size_t>(bytes)), true);
  }
  return entries;
}

}  // namespace

MegatronIndex::MegatronIndex(const std::string& path, const std::string& bin, std::int64_t bin_bytes)
    : file_(path, Access::random), bin_(bin), bin_bytes_(bin_bytes) {
  read_header();
  check_sequences();
  check_documents();
}

void MegatronIndex::read_header() {
  std::array<std::uint8_t, kHeaderBytes> head{};
  if (file_.size() < kHeaderBytes)
    refuse(file_.path(), fmt::format("{} B are too few for Megatron's index; is it cut short?", file_.size()));
  file_.read(0, head);
  const auto field = [&](std::size_t offset, std::size_t bytes) { return little_endian(std::span(head).subspan(offset, bytes), false); };
  if (!std::equal(kMagic.begin(), kMagic.end(), head.begin())) {
    refuse(file_.path(),
           fmt::format("offset 0: it does not begin with MMIDIDX, as Megatron's index of {} would; move it away if it is none", bin_));
  }
  if (field(9, 8) != 1) refuse(file_.path(), fmt::format("offset 9: version {} of Megatron's index; version 1 is known", field(9, 8)));
  const auto code = static_cast<std::size_t>(head[17]);
  if (code >= kTypes.size() || kTypes[code].bytes == 0) {
    refuse(file_.path(), fmt::format("offset 17: type {} is not one of integers (1 to 5, 8); tokenize the data again", code));
  }
  token_bytes_ = kTypes[code].bytes;
  signed_ = kTypes[code].is_signed;
  // As unsigned: a hostile count is then too large, not negative.
  const auto sequences = static_cast<std::uint64_t>(field(18, 8));
  const auto bounds = static_cast<std::uint64_t>(field(26, 8));
  const auto room = static_cast<std::uint64_t>(file_.size() - kHeaderBytes);
  const bool possible = sequences <= room / (kSizeBytes + kOffsetBytes) && bounds <= room / kOffsetBytes;
  const auto expected = possible ? sequences * (kSizeBytes + kOffsetBytes) + bounds * kOffsetBytes : 0;
  if (!possible || (room != expected && room != expected + sequences)) {
    refuse(file_.path(), fmt::format("offset 18: {} sequences and {} document bounds do not make its {} B; is it cut short?", sequences,
                                     bounds, file_.size()));
  }
  sequences_ = static_cast<std::int64_t>(sequences);
  bounds_ = static_cast<std::int64_t>(bounds);
}

void MegatronIndex::check_sequences() {
  const auto sizes_at = kHeaderBytes;
  const auto offsets_at = sizes_at + sequences_ * kSizeBytes;
  const auto most = bin_bytes_ / token_bytes_;
  for (std::int64_t first = 0; first < sequences_; first += kBlock) {
    const auto count = std::min(kBlock, sequences_ - first);
    const auto sizes = read_entries(file_, sizes_at + first * kSizeBytes, count, kSizeBytes);
    const auto offsets = read_entries(file_, offsets_at + first * kOffsetBytes, count, kOffsetBytes);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto size = sizes[static_cast<std::size_t>(i)];
      const auto offset = offsets[static_cast<std::size_t>(i)];
      if (size < 0 || size > most - tokens_) {
        refuse(file_.path(), fmt::format("offset {}: sequence {} of {} tokens ends outside {}, which has {} B",
                                         sizes_at + (first + i) * kSizeBytes, first + i, size, bin_, bin_bytes_));
      }
      if (offset != tokens_ * token_bytes_) {
        refuse(file_.path(), fmt::format("offset {}: sequence {} begins at {} of {}, not at {}, where the one before it ends",
                                         offsets_at + (first + i) * kOffsetBytes, first + i, offset, bin_, tokens_ * token_bytes_));
      }
      tokens_ += size;
    }
  }
  if (tokens_ * token_bytes_ != bin_bytes_) {
    refuse(file_.path(), fmt::format("offset 18: its {} sequences hold {} B, but {} has {} B; is one of them cut short?", sequences_,
                                     tokens_ * token_bytes_, bin_, bin_bytes_));
  }
}

void MegatronIndex::check_documents() const {
  const auto bounds_at = kHeaderBytes + sequences_ * (kSizeBytes + kOffsetBytes);
  std::int64_t previous = 0;
  for (std::int64_t first = 0; first < bounds_; first += kBlock) {
    const auto entries = read_entries(file_, bounds_at + first * kOffsetBytes, std::min(kBlock, bounds_ - first), kOffsetBytes);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const auto number = first + static_cast<std::int64_t>(i);
      const bool fits = number == 0 ? entries[i] == 0 : entries[i] >= previous && entries[i] <= sequences_;
      if (!fits) {
        refuse(file_.path(), fmt::format("offset {}: document {} begins with sequence {}, which is out of order or not one of {}",
                                         bounds_at + number * kOffsetBytes, number, entries[i], sequences_));
      }
      previous = entries[i];
    }
  }
  if (bounds_ < 2 || previous != sequences_) {
    refuse(file_.path(),
           fmt::format("offset 26: its {} document bounds end with sequence {}, not with the last one, {}", bounds_, previous, sequences_));
  }
}

std::string MegatronIndex::type() const { return fmt::format("{}int{}", signed_ ? "" : "u", 8 * token_bytes_); }

std::int64_t MegatronIndex::token_at(std::int64_t sequence) const {
  if (sequence >= sequences_) return tokens_;
  const auto at = kHeaderBytes + sequences_ * kSizeBytes + sequence * kOffsetBytes;
  const auto token = read_entries(file_, at, 1, kOffsetBytes)[0] / token_bytes_;
  if (token < 0 || token > tokens_)
    refuse(file_.path(), fmt::format("offset {}: it is not what it was; do not change it during a run", at));
  return token;
}

void MegatronIndex::read_documents(std::int64_t first, std::span<Document> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  const auto at = kHeaderBytes + sequences_ * (kSizeBytes + kOffsetBytes) + first * kOffsetBytes;
  const auto bounds = read_entries(file_, at, count + 1, kOffsetBytes);
  const auto changed = [&] { refuse(file_.path(), fmt::format("offset {}: it is not what it was; do not change it during a run", at)); };
  if (!std::is_sorted(bounds.begin(), bounds.end()) || bounds.front() < 0 || bounds.back() > sequences_) changed();
  // Mostly a document is one sequence: their offsets are read at once unless there are many more of them.
  std::vector<std::int64_t> offsets;
  const auto span = bounds.back() - bounds.front();
  if (span <= 4 * count) {
    offsets = read_entries(file_, kHeaderBytes + sequences_ * kSizeBytes + bounds.front() * kOffsetBytes, span, kOffsetBytes);
  }
  const auto begin_of = [&](std::size_t bound) {
    const auto sequence = bounds[bound] - bounds.front();
    return sequence < static_cast<std::int64_t>(offsets.size()) ? offsets[static_cast<std::size_t>(sequence)] / token_bytes_
                                                                : token_at(bounds[bound]);
  };
  auto begin = begin_of(0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto end = begin_of(i + 1);
    if (begin < 0 || end < begin || end > tokens_) changed();
    out[i] = {begin, end - begin};
    begin = end;
  }
}

}  // namespace gsnake::data
