#include "data/token_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::data {

TokenSource::TokenSource(const std::vector<DataFile>& files, std::int64_t vocab, std::int64_t separator, Access access, TokenDtype bare,
                         std::int64_t answer)
    : separator_(separator) {
  if (files.empty()) throw Error(ErrorKind::input, "no files of tokens are named; name one in data.train");
  files_.reserve(files.size());
  for (const auto& file : files) {
    if (separator_ >= 0 && !files_.empty()) ++size_;
    files_.push_back({open_token_file(file, vocab, access, bare, answer), size_});
    size_ += files_.back().tokens->tokens();
  }
}

void TokenSource::read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const {
  auto file =
      std::upper_bound(files_.begin(), files_.end(), first, [](std::int64_t position, const File& f) { return position < f.first; });
  --file;  // the last one that starts at or before `first`; the separator behind a file counts as that file's end
  const auto advance = [&](std::size_t count) {
    ids = ids.subspan(count);
    if (!counted.empty()) counted = counted.subspan(count);
    first += static_cast<std::int64_t>(count);
  };
  while (!ids.empty()) {
    const auto inside = first - file->first;
    const auto left = file->tokens->tokens() - inside;
    if (left > 0) {
      const auto count = static_cast<std::size_t>(std::min(static_cast<std::int64_t>(ids.size()), left));
      file->tokens->read(inside, ids.first(count), counted.first(std::min(counted.size(), count)));
      advance(count);
    } else {
      if (separator_ >= 0) {
        ids.front() = separator_;
        if (!counted.empty()) counted.front() = 1;
        advance(1);
      }
      ++file;
    }
  }
}

std::string TokenSource::describe() const {
  const auto others = files_.size() - 1;
  if (others == 0) return file(0).path();
  return fmt::format("{} and {} more file{}", file(0).path(), others, others == 1 ? "" : "s");
}

}  // namespace gsnake::data
