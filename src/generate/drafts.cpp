#include "generate/drafts.h"

#include <algorithm>

namespace gsnake::generate {

std::vector<std::int64_t> draft(std::span<const std::int64_t> text, std::int64_t most) {
  if (most <= 0) return {};
  for (const std::size_t length : {std::size_t{3}, std::size_t{2}}) {
    if (text.size() <= length) continue;
    const auto last = text.last(length);
    // Ends of earlier places, the newest first.
    for (std::size_t end = text.size() - 1; end >= length; --end) {
      if (!std::equal(last.begin(), last.end(), text.begin() + static_cast<std::ptrdiff_t>(end - length))) continue;
      const std::size_t count = std::min(static_cast<std::size_t>(most), text.size() - end);
      return {text.begin() + static_cast<std::ptrdiff_t>(end), text.begin() + static_cast<std::ptrdiff_t>(end + count)};
    }
  }
  return {};
}

}  // namespace gsnake::generate
