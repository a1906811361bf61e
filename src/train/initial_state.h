// A new run's weights, written to SSD unit by unit: a model larger than memory is never constructed.
#pragma once

#include <cstdint>

#include "greedysnake/unit.h"
#include "store/store.h"
#include "train/model_layout.h"

namespace gsnake::train {

// Slot 0 of the weights of every object. Moments are zero because preallocated files are. Holds one unit in memory at a time (and the
// embedding, while a tied head is initialized), rebinding the model's modules to it.
void write_initial_weights(Model& model, const ModelLayout& layout, std::uint64_t seed, store::Store& store);

}  // namespace gsnake::train
