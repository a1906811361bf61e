// The weights of a commit, object by object, as fp32 master weights or as the 16-bit weights that they are stored as.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "hf/safetensors.h"
#include "optim/formats.h"
#include "store/store.h"

namespace gsnake::convert {

// Elements [first, first + n) of an object, as their n values in the dtype asked for; valid during the call.
using ElementVisitor = std::function<void(std::uint32_t object, std::uint64_t first, std::span<const std::byte> values)>;

// Streams every object of the store's commit, whose weights are stored as `format`, in order and in pieces of at most 1 Mi elements,
// checked against the commit's checksums by the time this returns. bf16 and fp16 values are the stored weights where `format` is that, else
// the masters' rounding (optim/formats.h). Throws Error(storage); Error(usage) for a master that fp16 can't hold.
// Of `objects` alone, if any are named.
void visit_committed_elements(store::Store& store, optim::WeightFormat format, hf::Dtype dtype, const ElementVisitor& visit,
                              const std::vector<std::uint32_t>& objects = {});

}  // namespace gsnake::convert
