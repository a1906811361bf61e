// An object's fp32 master weights, as they are stored: in one kind (fp32), in two halves (bf16) or beside the weights (fp16). Of a frozen object
// the weights alone are stored: their values, rounded to the format, are its master.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/state_hashes.h"
#include "optim/formats.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// Whether more than its weights is stored of the object: of a frozen one, and in fp32, it is not.
bool has_master(const store::Store& store, std::uint32_t object);

// Slot 0 of the object, whose padded elements `master` holds; `hashes` gets the checksums of what is written. Throws Error(usage) naming
// `what` where a value is not finite or the format can't hold it.
void write_master(store::Store& store, optim::WeightFormat format, std::uint32_t object, std::span<const float> master, const std::string& what,
                  StateHashes& hashes);
// Of `slot`, padding included. Blocking.
std::vector<float> read_master(store::Store& store, optim::WeightFormat format, std::uint32_t object, int slot);

}  // namespace gsnake::checkpoint
