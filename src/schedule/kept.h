// Which forward passes leave their activations on the device, where backward goes on from them instead of computing them again.
#pragma once

#include <vector>

#include "schedule/problem.h"

namespace gsnake::schedule {

// By unit * micro_batches + micro-batch. Of what backward would recompute, the part that Problem::kept comes to, rounded down: of the last blocks first, as
// these wait for the shortest time; of a block that is kept in part, its first micro-batches. Embedding and head keep nothing: the one recomputes
// nothing worth it, the other runs both passes at once.
std::vector<bool> kept_passes(const Problem& problem);
// Of each unit, how many of these the device holds at once: under horizontal, those of one micro-batch.
std::vector<int> kept_at_once(const Problem& problem);

}  // namespace gsnake::schedule
