// "Did you mean ...?"
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace gsnake::core {

// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other (optimal string alignment).
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest edit distance to `word` (the first of equals); empty when all are further away than a third of the word's
// length (at least 1), so that a guess is offered only where it is likely a misspelling.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace gsnake::core
