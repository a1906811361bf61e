// The plan of a run's memory, or why there is none.
#pragma once

#include "plan/requirements.h"

namespace gsnake::plan {

// What the run needs. Throws Error(budget) where it can't fit, with a table of what needs what, the least budgets that would do, and every other key that
// alone would make it fit, with its value. What LibTorch takes is counted as far as `setting` knows it.
std::vector<MemoryItem> refuse_what_does_not_fit(const Config& config, const Setting& setting);

// The same for a run that is known not to fit.
[[noreturn]] void refuse(const Config& config, const Setting& setting);

// Before LibTorch's temporaries are measured: refuses likewise, unless all that does not fit is on the device and dry runs, which tell how
// much would do, can be had at once.
void refuse_what_no_dry_run_mends(const Config& config, const Setting& setting);

// What the device budget leaves for LibTorch's temporaries beside all else; items: requirements(config, setting).
std::uint64_t temporaries_room(const Config& config, const Setting& setting, const std::vector<MemoryItem>& items);
// For the temporaries of dry runs of fewer tokens beside a unit's weights and gradients: what the device budget leaves, or a little where
// that is tiny.
std::uint64_t dry_run_room(const Config& config, const Setting& setting);

// As many slots as the budgets allow. Throws likewise where the fewest do not fit.
MemoryPlan plan_run(const Config& config, const Setting& setting, const schedule::Problem& problem);

}  // namespace gsnake::plan
