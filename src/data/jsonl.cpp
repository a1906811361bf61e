#include "data/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "core/log.h"
#include "data/pair.h"

namespace gsnake::data {

namespace {

constexpr std::size_t kBlock = 16;               // documents between two places that are kept
constexpr std::size_t kMostLineBytes = 1 << 24;  // millions of tokens: whatever is longer has no line ends
constexpr std::int64_t kReadBytes = 1 << 16;

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r") == std::string::npos; }

// The lines that begin in `offset` .. `end`, without their ends. `take` returns whether to go on.
void for_each_line(const InputFile& file, std::int64_t offset, std::int64_t end, std::int64_t number,
                   const std::function<bool(const std::string&, std::int64_t, std::int64_t)>& take) {
  std::string line;
  std::int64_t begin = offset;
  std::vector<std::uint8_t> raw;
  for (auto at = offset; at < end;) {
    raw.resize(static_cast<std::size_t>(std::min(kReadBytes, end - at)));
    file.read(at, raw);
    at += static_cast<std::int64_t>(raw.size());
    for (std::span<const std::uint8_t> rest = raw; !rest.empty();) {
      const auto* stop = static_cast<const std::uint8_t*>(std::memchr(rest.data(), '\n', rest.size()));
      const auto size = stop == nullptr ? rest.size() : static_cast<std::size_t>(stop - rest.data());
      if (line.size() + size > kMostLineBytes) {
        refuse(file.path(), fmt::format("line {} at offset {} is longer than {} MiB; is it one JSON object a line?", number, begin,
                                        kMostLineBytes >> 20));
      }
      line.append(reinterpret_cast<const char*>(rest.data()), size);
      if (stop == nullptr) break;
      if (!take(line, begin, number)) return;
      rest = rest.subspan(size + 1);
      line.clear();
      begin = at - static_cast<std::int64_t>(rest.size());
      ++number;
    }
  }
  if (!line.empty()) take(line, begin, number);
}

}  // namespace

JsonlFile::JsonlFile(const std::string& path, std::int64_t vocab, Access access, std::int64_t answer)
    : file_(path, access), vocab_(vocab), answer_(answer) {
  for_each_line(file_, byte_order_mark(file_), file_.size(), 1, [this](const std::string& text, std::int64_t offset, std::int64_t number) {
    add(text, {offset, number});
    return true;
  });
  if (sizes_.empty()) refuse(path, "it holds no example; take it off the list");
  if (!counts_) spdlog::warn("{}: the loss counts no token of it", path);
}

void JsonlFile::add(const std::string& text, const Place& place) {
  if (is_blank(text)) return;
  for (const auto& example : parse(text, place)) {
    if (sizes_.size() % kBlock == 0) blocks_.push_back({place, tokens_});
    sizes_.push_back(static_cast<std::uint32_t>(example.ids.size()));
    tokens_ += static_cast<std::int64_t>(example.ids.size());
    // The first token follows nothing that could foretell it.
    counts_ = counts_ || std::find(example.counted.begin() + 1, example.counted.end(), 1) != example.counted.end();
  }
}

std::vector<Example> JsonlFile::parse(const std::string& text, const Place& place) const {
  const BadLine bad = [&](std::int64_t at, const std::string& why) {
    refuse(path(), fmt::format("line {}, offset {}: {}", place.line, place.offset + at, why));
  };
  if (!holds_pairs()) return {parse_example(text, vocab_, bad)};
  auto pair = parse_pair(text, vocab_, answer_, bad);
  return {std::move(pair[0]), std::move(pair[1])};
}

std::size_t JsonlFile::example_of(std::int64_t token, std::int64_t& first) const {
  auto block =
      std::upper_bound(blocks_.begin(), blocks_.end(), token, [](std::int64_t position, const Block& b) { return position < b.tokens; });
  --block;
  first = block->tokens;
  auto example = static_cast<std::size_t>(block - blocks_.begin()) * kBlock;
  while (token - first >= sizes_[example]) first += sizes_[example++];
  return example;
}

std::vector<std::pair<std::string, JsonlFile::Place>> JsonlFile::lines_of(std::size_t block) const {
  const auto& place = blocks_[block].place;
  const auto end = block + 1 < blocks_.size() ? blocks_[block + 1].place.offset : file_.size();
  std::vector<std::pair<std::string, Place>> lines;
  for_each_line(file_, place.offset, end, place.line, [&](const std::string& text, std::int64_t offset, std::int64_t number) {
    if (!is_blank(text)) lines.emplace_back(text, Place{offset, number});
    return true;
  });
  const auto expected = std::min(kBlock, sizes_.size() - block * kBlock) / per_line();
  if (lines.size() != expected) {
    refuse(path(), fmt::format("offset {}: its lines are not those of before; do not change it during a run", place.offset));
  }
  return lines;
}

void JsonlFile::read_documents(std::int64_t first, std::span<Document> out) const {
  if (out.empty()) return;
  const auto block = static_cast<std::size_t>(first) / kBlock;
  auto token = blocks_[block].tokens;
  for (auto example = block * kBlock; example < static_cast<std::size_t>(first); ++example) token += sizes_[example];
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = {token, sizes_[static_cast<std::size_t>(first) + i]};
    token += out[i].tokens;
  }
}

void JsonlFile::read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const {
  while (!ids.empty()) {
    std::int64_t begin = 0;
    const auto block = example_of(first, begin) / kBlock;
    auto example = example_of(first, begin);
    const auto lines = lines_of(block);
    for (; example / kBlock == block && example < sizes_.size() && !ids.empty(); ++example) {
      const auto& [text, place] = lines[example % kBlock / per_line()];
      const auto parsed = parse(text, place)[example % per_line()];
      if (parsed.ids.size() != sizes_[example]) {
        refuse(path(), fmt::format("line {}, offset {}: it is not what it was; do not change it during a run", place.line, place.offset));
      }
      const auto skip = static_cast<std::ptrdiff_t>(first - begin);
      const auto count = std::min(ids.size(), parsed.ids.size() - static_cast<std::size_t>(skip));
      std::copy_n(parsed.ids.begin() + skip, count, ids.begin());
      if (!counted.empty()) {
        std::copy_n(parsed.counted.begin() + skip, count, counted.begin());
        counted = counted.subspan(count);
      }
      ids = ids.subspan(count);
      first += static_cast<std::int64_t>(count);
      begin += sizes_[example];
    }
  }
}

}  // namespace gsnake::data
