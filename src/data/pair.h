// One line of preference pairs: a prompt's token ids, and those of the answer that is preferred and of the other.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "data/example.h"

namespace gsnake::data {

// The prompt and the chosen answer, then the prompt and the rejected one; the loss counts the answers' tokens.
using Pair = std::array<Example, 2>;

// {"prompt": [ids], "chosen": [ids], "rejected": [ids]}; without "prompt", the other two begin with it, and it is what both begin with
// alike, as far as each has a token left. Prompts and answers have a token at least, answers at most `most`. Keys that look like masks or
// labels are refused, others passed over.
Pair parse_pair(const std::string& line, std::int64_t vocab, std::int64_t most, const BadLine& bad);

}  // namespace gsnake::data
