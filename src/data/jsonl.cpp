#include "data/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace gsnake::data {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kBlock = 16;               // examples between two places that are kept
constexpr std::size_t kMostLineBytes = 1 << 24;  // millions of tokens: whatever is longer has no line ends
constexpr std::int64_t kReadBytes = 1 << 16;
constexpr std::int64_t kNoLabel = -100;  // Hugging Face's

// As int64; true and false are a mask's 1 and 0.
bool is_integer(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return value.is_number_integer() || value.is_boolean();
}

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

JsonlFile::JsonlFile(const std::string& path, std::int64_t vocab, Access access) : file_(path, access), vocab_(vocab) {
  for_each_line(file_, 0, file_.size(), 1, [this](const std::string& text, std::int64_t offset, std::int64_t number) {
    add(text, {offset, number});
    return true;
  });
  if (sizes_.empty()) refuse(path, "it holds no example; take it off the list");
}

void JsonlFile::add(const std::string& text, const Place& place) {
  if (is_blank(text)) return;
  const auto example = parse(text, place);
  if (sizes_.size() % kBlock == 0) blocks_.push_back({place, tokens_});
  sizes_.push_back(static_cast<std::uint32_t>(example.ids.size()));
  tokens_ += static_cast<std::int64_t>(example.ids.size());
}

JsonlFile::Example JsonlFile::parse(const std::string& text, const Place& place) const {
  const auto bad = [&](std::int64_t at, const std::string& why) {
    refuse(path(), fmt::format("line {}, offset {}: {}", place.line, place.offset + at, why));
  };
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    bad(std::max<std::int64_t>(static_cast<std::int64_t>(error.byte) - 1, 0), "it is not JSON; write one object a line");
  } catch (const Json::exception& error) {  // a number that no double holds
    bad(0, fmt::format("it cannot be taken as JSON: {}", error.what()));
  }
  if (!json.is_object()) bad(0, "it is no JSON object, such as {\"tokens\": [1, 2], \"mask\": [0, 1]}");
  // A list of integers, or null where there is none.
  const auto list = [&](const char* key) {
    const auto found = json.find(key);
    if (found == json.end()) return Json();
    const bool integers = found->is_array() && std::all_of(found->begin(), found->end(), is_integer);
    if (!integers) bad(0, fmt::format("\"{}\" is not a list of integers", key));
    return *found;
  };
  const auto ids = json.contains("tokens") ? list("tokens") : list("input_ids");
  if (ids.empty()) bad(0, "it has no \"tokens\" (nor \"input_ids\"); text is turned into them by scripts/tokenize");
  Example example;
  for (const auto& id : ids) {
    if (!id.is_number() || id < 0 || id >= vocab_) {
      bad(0, fmt::format(
                 "token id {} (number {} of its line) is not below model.vocab = {}; raise model.vocab or use the data's own tokenizer",
                 id.dump(), example.ids.size(), vocab_));
    }
    example.ids.push_back(id.get<std::int64_t>());
  }
  example.counted.assign(example.ids.size(), 1);
  const bool masked = json.contains("mask");
  const auto marks = masked ? list("mask") : list("labels");
  if (marks.is_null()) return example;
  const char* key = masked ? "mask" : "labels";
  if (marks.size() != ids.size()) bad(0, fmt::format("{} values in \"{}\" for {} token ids", marks.size(), key, ids.size()));
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const auto value = marks[i].is_boolean() ? static_cast<std::int64_t>(marks[i].get<bool>()) : marks[i].get<std::int64_t>();
    const bool counts = value == (masked ? 1 : example.ids[i]);
    if (!counts && value != (masked ? 0 : kNoLabel)) {
      bad(0,
          fmt::format("{} in \"{}\" (number {} of its line) must be {}", value, key, i, masked ? "0 or 1" : "-100 or the token's own id"));
    }
    example.counted[i] = counts ? 1 : 0;
  }
  return example;
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
  const auto expected = std::min(kBlock, sizes_.size() - block * kBlock);
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
      const auto& [text, place] = lines[example % kBlock];
      const auto parsed = parse(text, place);
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
