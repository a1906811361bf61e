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
  std::optional<std::uint64_t> one_memory = {};  // of a GPU whose memory is the host's own: what both tiers together may take; nothing: each has its own
  std::function<void()> told = {};  // whenever a plan is made on trial; what it throws ends that; may be empty
};

// Setting::one_memory of one of a machine's ranks. free_bytes: for all of them; 0: not known.
std::optional<std::uint64_t> share_of_one_memory(bool is_one, std::uint64_t free_bytes, const Config& config);

// By how many bytes what both tiers take exceeds the memory that they share; 0 where it doesn't, or they share none.
std::uint64_t lack_of_one_memory(const std::vector<MemoryItem>& items, const Setting& setting);

// A unit's packed weights are dequantised as a whole where they take at most so much.
std::uint64_t most_dequantised(const Config& config);
Overheads overheads_of(const Config& config, const Setting& setting);
// By unit, how many passes are kept at once (schedule::kept_at_once()); empty where none is.
std::vector<int> kept_at_once(const Config& config, const Setting& setting);

// With the fewest slots. Exact for a moderate number of units and micro-batches; else extrapolated, so that neither a graph of a million
// units nor one of ten million micro-batches is built only to be refused.
std::vector<MemoryItem> requirements(const Config& config, const Setting& setting);
bool is_extrapolated(const Config& config, const Setting& setting);
// The same, exact, where its graphs are built within seconds.
std::optional<std::vector<MemoryItem>> exact_requirements(const Config& config, const Setting& setting);

}  // namespace gsnake::plan
