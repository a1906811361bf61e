// The whole model that a base and its adapters come to.
#pragma once

#include "base/base.h"
#include "convert/destinations.h"
#include "greedysnake/config.h"
#include "greedysnake/hugging_face.h"
#include "store/store.h"

namespace gsnake::convert {

// `base` holds what is packed, if anything is; else null. Every parameter of the model, unit by unit and in pieces of some MiB: W + scaling B A, computed in fp32 and rounded to `dtype`. Throws
// Error(storage) where what is read is not what was committed.
void write_merged(const Model& model, const plan::ModelLayout& layout, store::Store& store, const base::Base* base, const Config& config,
                  const Destinations& destinations, hf::ShardWriter& writer, Dtype dtype, const TransferProgress& progress);

}  // namespace gsnake::convert
