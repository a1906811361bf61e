// The GPUs of several ranks: one each.
#pragma once

#include <cstdint>

#include "dist/rank_group.h"
#include "greedysnake/config.h"
#include "plan/memory_plan.h"
#include "plan/model_layout.h"

namespace gsnake::train {

// With "{local_rank}" in memory.device replaced by this rank's.
Config with_own_device(Config config);

// Where ranks compute on GPUs, their collectives are between those from now on. Every rank calls it at once, before the group's first collective; of a group that is
// null, on the CPU, or a second time nothing happens. Throws Error(usage), on every rank alike where two have the same GPU or some have none.
void join_devices(dist::RankGroup* group, const Config& config);

// What adding up gradients of several ranks takes beside slots.
plan::RankBuffers rank_buffers(const Config& config, const plan::ModelLayout& layout, bool on_devices);

}  // namespace gsnake::train
