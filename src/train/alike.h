// Ranks must be told the same: what one of them computes, stores and commits, all others count on.
#pragma once

#include "dist/rank_group.h"
#include "greedysnake/trainer.h"

namespace gsnake::train {

// Every rank of the group calls it (null: there is one). Throws Error(usage) at all of them, with the first key in which one differs from rank 0. Budgets, placements, paths
// and emulated rates may differ.
void refuse_different_ranks(dist::RankGroup* group, const Config& config, const TrainerOptions& options);

}  // namespace gsnake::train
