// Guesses of what comes next: what came after the same tokens before (prompt lookup, Saxena, 2023).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnake::generate {

inline constexpr std::int64_t kMostDrafts = 16;  // of a text in a pass

// At most `most` tokens that followed, where the text's last three tokens, or else its last two, stood in it last before; none where they did not.
std::vector<std::int64_t> draft(std::span<const std::int64_t> text, std::int64_t most);

}  // namespace gsnake::generate
