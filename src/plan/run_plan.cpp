#include "plan/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "greedysnake/error.h"
#include "memory/budget.h"
#include "plan/alternatives.h"
#include "plan/compute_dtype.h"
#include "plan/extrapolation.h"

namespace gsnake::plan {
namespace {

constexpr std::array kTiers{"host", "device"};
constexpr const char* kUnless =
    ", unless LibTorch's temporaries, which are measured once the rest fits, take more of the device than is left";
constexpr std::uint64_t kLeastForDryRuns = 64ULL << 20;

[[noreturn]] void refuse(const Config& config, const Setting& setting, const std::vector<MemoryItem>& items) {
  std::string needs;
  std::string budgets;
  std::string tables;
  for (const char* tier : kTiers) {
    const memory::BudgetPlan plan = budget_plan(items, tier, config.memory);
    if (plan.fits()) continue;
    needs += (needs.empty() ? "" : "; ") + plan.excess();
    budgets += fmt::format("{} memory.{}_budget to at least {}", budgets.empty() ? "; set" : " and", tier,
                           memory::format_bytes_at_least(least_budget(config, setting, items, tier)));
    tables += plan.table();
  }
  const std::vector<Alternative> others = alternatives(config, setting);
  std::string text = needs + budgets + (others.empty() ? "\n" : ", or one of the keys below the table\n") + tables;
  if (!others.empty()) text += fmt::format("each of these alone would do as well{}:\n", setting.peaks.known() ? "" : kUnless);
  for (const Alternative& o : others) text += fmt::format("  {} = {}{}\n", o.key, o.value, o.changes_maths ? "  (changes the maths)" : "");
  throw Error(ErrorKind::budget, text);
}

// What is extrapolated may be off by a little: then the exact plan decides.
double doubt(const Config& config, const Setting& setting) { return is_extrapolated(config, setting) ? kLeastOfExtrapolated : 1.0; }

bool fits(const std::vector<MemoryItem>& items, const char* tier, const Config& config, const Setting& setting) {
  const memory::BudgetPlan plan = budget_plan(items, tier, config.memory);
  return static_cast<double>(plan.total()) * doubt(config, setting) <= static_cast<double>(plan.limit());
}

// What a dry run of one unit holds beside temporaries: but for hidden states, of which it has few.
std::uint64_t dry_run_bytes(const Config& config, const Setting& setting) {
  const ModelLayout& layout = *setting.layout;
  const auto bytes_of_object = [&](int object) {
    const auto o = static_cast<std::size_t>(object);
    const bool has_gradient = setting.purpose == Purpose::train && layout.is_trained(o);
    if (layout.is_packed(o)) return layout.shape(layout.unit_of(o)).packed_bytes;
    return layout.flat(o).elements * (dtype_bytes(config.train.dtype) + (has_gradient ? sizeof(float) : 0));
  };
  std::uint64_t largest = 0;
  for (const int unit : layout.one_of_each_shape()) {
    std::uint64_t bytes = 0;
    for (const int object : layout.objects_of(unit)) bytes += bytes_of_object(object);
    largest = std::max(largest, bytes);
  }
  const Overheads overheads = overheads_of(config, setting);
  return largest + overheads.widened_weights + overheads.dequantised_weights;
}

}  // namespace

void refuse(const Config& config, const Setting& setting) { refuse(config, setting, requirements(config, setting)); }

std::vector<MemoryItem> refuse_what_does_not_fit(const Config& config, const Setting& setting) {
  std::vector<MemoryItem> items = requirements(config, setting);
  for (const char* tier : kTiers) {
    if (!fits(items, tier, config, setting)) refuse(config, setting, items);
  }
  return items;
}

void refuse_what_no_dry_run_mends(const Config& config, const Setting& setting) {
  const std::vector<MemoryItem> items = requirements(config, setting);
  const bool on_device = fits(items, "device", config, setting);
  if (on_device && fits(items, "host", config, setting)) return;
  if (on_device || dry_run_room(config, setting) < kLeastForDryRuns / 2) refuse(config, setting, items);
}

std::uint64_t temporaries_room(const Config& config, const Setting& setting, const std::vector<MemoryItem>& items) {
  const std::uint64_t rest = bytes_of(items, "device") - overheads_of(config, setting).torch_temporaries;
  const auto least = static_cast<std::uint64_t>(static_cast<double>(rest) * doubt(config, setting));
  return config.memory.device_budget - std::min(config.memory.device_budget, least);
}

std::uint64_t dry_run_room(const Config& config, const Setting& setting) {
  const std::uint64_t taken = dry_run_bytes(config, setting);
  const std::uint64_t all = std::max(config.memory.device_budget, kLeastForDryRuns);
  return all - std::min(all, taken);
}

MemoryPlan plan_run(const Config& config, const Setting& setting, const schedule::Problem& problem) {
  MemoryPlan plan = plan_memory(config.memory, problem, overheads_of(config, setting));
  if (!plan.fits(config.memory)) refuse(config, setting, plan.items);
  return plan;
}

}  // namespace gsnake::plan
