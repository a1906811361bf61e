// The choices that a config leaves, made once for all ranks.
#pragma once

#include "dist/rank_group.h"
#include "train/planning.h"

namespace gsnake::train {

// As resolve(): of several ranks, rank 0's choices are everybody's. `group` is null where there is one.
Resolved resolved_by_all(Model& model, const Config& config, const TrainerOptions& options, dist::RankGroup* group);

}  // namespace gsnake::train
