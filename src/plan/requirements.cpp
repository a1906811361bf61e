#include "plan/requirements.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "plan/compute_dtype.h"
#include "plan/extrapolation.h"
#include "plan/numerics.h"
#include "plan/store_layout.h"
#include "schedule/kept.h"

namespace gsnake::plan {
namespace {

// Of a step. A plan takes some microseconds and a KiB for each: that many are planned once and again in a search, and that many once.
constexpr double kManyTasks = 1e5;
constexpr double kMostTasks = 1e6;

Dtype compute_dtype(const Config& config, const Setting& setting) {
  return resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, setting.native);
}

std::uint64_t temporaries(const Config& config, const Setting& setting) {
  const MeasuredPeaks& peaks = setting.peaks;
  const std::int64_t tokens = tokens_of(config, setting.purpose);
  if (peaks.of == MeasuredPeaks::Of::nothing)
    return charge_of(least_peak(config, *setting.layout, setting.purpose, compute_dtype(config, setting)));
  std::uint64_t peak = peak_at(peaks.head, std::min(tokens, config.train.head_chunk));
  for (const PeakCurve& curve : peaks.units) peak = std::max(peak, peak_at(curve, tokens));
  // Gaps between blocks do not grow as blocks do (6% were seen): what is told by fewer tokens is a little more, so that it holds.
  constexpr std::uint64_t kGaps = 10;
  if (peaks.of == MeasuredPeaks::Of::fewer_tokens) peak += peak / kGaps;
  return charge_of(peak);
}

// What a forward pass of one of the shape's units was measured to leave; 0: it was not.
std::uint64_t measured_kept(std::size_t shape, const Config& config, const Setting& setting) {
  const MeasuredPeaks& peaks = setting.peaks;
  if (shape >= peaks.kept.size()) return 0;
  const auto tokens = static_cast<double>(tokens_of(config, setting.purpose)) / static_cast<double>(peaks.kept_tokens);
  return static_cast<std::uint64_t>(static_cast<double>(peaks.kept[shape]) * tokens);
}

// Of all units, what the device holds at once.
void charge_kept(Overheads& overheads, const Config& config, const Setting& setting) {
  const std::vector<int> passes = kept_at_once(config, setting);
  const int all = std::accumulate(passes.begin(), passes.end(), 0);
  if (all == 0) return;
  std::uint64_t bytes = 0;
  bool measured = true;
  for (std::size_t unit = 0; unit < passes.size(); ++unit) {
    if (passes[unit] == 0) continue;
    const auto shape = static_cast<std::size_t>(setting.layout->units[unit]);
    const std::uint64_t known = measured_kept(shape, config, setting);
    measured = measured && known > 0;
    bytes += static_cast<std::uint64_t>(passes[unit]) * (known > 0 ? known : least_kept(config, *setting.layout, shape, compute_dtype(config, setting)));
  }
  overheads.kept_activations = charge_of(bytes);
  overheads.kept_detail = fmt::format("of {} passes of blocks at once, {}", all, measured ? "measured by a dry run" : "at least; measured once the rest fits");
}

const char* detail(MeasuredPeaks::Of of) {
  switch (of) {
    case MeasuredPeaks::Of::all_tokens:
      return "measured by a dry run of each kind of unit";
    case MeasuredPeaks::Of::fewer_tokens:
      return "about: by dry runs of fewer tokens, as all take more than is left";
    case MeasuredPeaks::Of::some:
    case MeasuredPeaks::Of::nothing:
      break;
  }
  return "at least; measured once the rest fits";
}

std::vector<MemoryItem> whole_plan(const Config& config, const Setting& setting) {
  return least_memory(make_problem(config, numerics_of(config), *setting.layout, setting.purpose, setting.one_memory.has_value()), overheads_of(config, setting));
}

}  // namespace

std::vector<int> kept_at_once(const Config& config, const Setting& setting) {
  if (setting.purpose != Purpose::train || config.placement.kept.device <= 0.0) return {};
  return schedule::kept_at_once(make_problem(config, numerics_of(config), *setting.layout, setting.purpose));
}

Overheads overheads_of(const Config& config, const Setting& setting) {
  const Dtype compute = compute_dtype(config, setting);
  Overheads overheads;
  overheads.torch_temporaries = temporaries(config, setting);
  overheads.temporaries_detail = detail(setting.peaks.of);
  charge_kept(overheads, config, setting);
  if (compute != config.train.dtype) overheads.widened_weights = widened_elements(*setting.layout).bytes(dtype_bytes(compute));
  overheads.dequantised_weights = dequantised_elements(*setting.layout, most_dequantised(config), dtype_bytes(compute)).bytes(dtype_bytes(compute));
  if (setting.purpose == Purpose::train && snapshot_places(config) > 0) overheads.snapshot_buffers = stream_bytes(config);
  overheads.rank_buffers = setting.rank_buffers;
  return overheads;
}

std::optional<std::uint64_t> share_of_one_memory(bool is_one, std::uint64_t free_bytes, const Config& config) {
  if (!is_one) return std::nullopt;
  return free_bytes == 0 ? kAutomaticBytes : free_bytes / static_cast<std::uint64_t>(config.ranks.local_count);
}

std::uint64_t lack_of_one_memory(const std::vector<MemoryItem>& items, const Setting& setting) {
  const std::uint64_t needed = bytes_of(items, "host") + bytes_of(items, "device");
  return setting.one_memory && needed > *setting.one_memory ? needed - *setting.one_memory : 0;
}

std::uint64_t most_dequantised(const Config& config) {
  return static_cast<std::uint64_t>(kMostDequantised * static_cast<double>(config.memory.device_budget));
}

bool is_extrapolated(const Config& config, const Setting& setting) {
  return about_tasks(config, *setting.layout, setting.purpose) > kManyTasks;
}

std::vector<MemoryItem> requirements(const Config& config, const Setting& setting) {
  if (setting.told) setting.told();
  if (is_extrapolated(config, setting)) return extrapolated_memory(config, *setting.layout, setting.purpose, overheads_of(config, setting), setting.one_memory.has_value());
  return whole_plan(config, setting);
}

std::optional<std::vector<MemoryItem>> exact_requirements(const Config& config, const Setting& setting) {
  if (setting.told) setting.told();
  if (about_tasks(config, *setting.layout, setting.purpose) > kMostTasks) return std::nullopt;
  return whole_plan(config, setting);
}

}  // namespace gsnake::plan
