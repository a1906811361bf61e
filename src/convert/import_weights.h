// A Hugging Face folder's weights, written to a new run's state.
#pragma once

#include <cstdint>
#include <functional>

#include "checkpoint/state_hashes.h"
#include "convert/import_plan.h"
#include "optim/formats.h"
#include "schedule/map.h"
#include "store/store.h"

namespace gsnake::convert {

// Slot 0 of the weights of every object of a store that was just created, as `format` stores them, chunk by chunk: in the store's stream_bytes
// and some 100 MiB for a model of any size. Whatever else the optimizer keeps is zero, as preallocated files are. `hashes` gets the checksums of what is
// written; `progress`, which may throw to stop, is told how much of the folder was read. Throws Error(input) that names file, tensor and
// offset of a value that is not finite or that the format can't hold.
void import_weights(const ImportPlan& plan, const plan::ModelLayout& layout, optim::WeightFormat format, const schedule::Map& map,
                    store::Store& store, checkpoint::StateHashes& hashes, const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace gsnake::convert
