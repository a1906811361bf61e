// One line of examples: token ids, and which of them the loss counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/json_line.h"

namespace gsnake::data {

struct Example {
  std::vector<std::int64_t> ids;
  std::vector<std::uint8_t> counted;  // as many: 1 where the loss counts the token as a label
};

// {"tokens": [ids]} or {"input_ids": [ids]}, with at most one opinion on what counts, however often it is given: "mask", "loss_mask", "completion_mask" and
// "assistant_masks" (1 counts, 0 does not), "labels" (the id counts, -100 does not); without any, all count. Ids at the ends where
// "attention_mask" is 0 are padding, and left out. What looks like a mask or a label by its name and is none of these is refused, and so is
// what packs several documents into a line ("position_ids" that start over, "seq_lengths", ...), and a preference pair, a key that stands there twice. Other keys are passed over.
Example parse_example(const std::string& line, std::int64_t vocab, const BadLine& bad);

}  // namespace gsnake::data
