// What a run of a config needs of memory at the least, before any of it exists.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "plan/compute_dtype.h"
#include "plan/memory_plan.h"
#include "plan/temporaries.h"

namespace gsnake::plan {

// What a plan depends on beside the config.
struct Setting {
  const ModelLayout* layout = nullptr;  // borrowed
  Purpose purpose = Purpose::train;
  NativeDtypes native = {};         // of the device
  MeasuredPeaks peaks = {};         // of LibTorch's temporaries, as far as they are measured
  RankBuffers rank_buffers = {};
  std::function<void()> told = {};  // whenever a plan is made on trial; what it throws ends that; may be empty
};

// A unit's packed weights are dequantised as a whole where they take at most so much.
std::uint64_t most_dequantised(const Config& config);
Overheads overheads_of(const Config& config, const Setting& setting);

// With the fewest slots. Exact for a moderate number of units and micro-batches; else extrapolated, so that neither a graph of a million
// units nor one of ten million micro-batches is built only to be refused.
std::vector<MemoryItem> requirements(const Config& config, const Setting& setting);
bool is_extrapolated(const Config& config, const Setting& setting);
// The same, exact, where its graphs are built within seconds.
std::optional<std::vector<MemoryItem>> exact_requirements(const Config& config, const Setting& setting);

}  // namespace gsnake::plan
