// A new run's weights, written to SSD unit by unit: a model larger than memory is never constructed.
#pragma once

#include <cstdint>
#include <functional>

#include "checkpoint/master_weights.h"
#include "greedysnake/unit.h"
#include "plan/model_layout.h"
#include "schedule/problem.h"
#include "store/store.h"

namespace gsnake::train {

// Slot 0 of the weights of every object, as `format` stores them: what the problem's rank owns of each. Moments are zero because preallocated files are. Holds one
// unit in memory at a time (and the embedding, while a tied head is initialized), rebinding the model's modules to it. `hashes` gets the checksums of what is written;
// `before_unit`, which may throw to stop, is told each unit and how many there are.
void write_initial_weights(Model& model, const plan::ModelLayout& layout, optim::WeightFormat format, std::uint64_t seed, const schedule::Problem& problem, store::Store& store,
                           checkpoint::StateHashes& hashes, const std::function<void(std::size_t unit, std::size_t units)>& before_unit);

}  // namespace gsnake::train
