#include "plan/planner/budgets.h"

#include <algorithm>

#include "core/bytes.h"

namespace gsnake::plan {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;

// In whole MiB, as a config may say them.
std::uint64_t left(std::uint64_t all, std::uint64_t taken) { return (all - std::min(all, taken)) / kMiB * kMiB; }

}  // namespace

Budgets::Budgets(const MemoryConfig& memory, std::uint64_t free_host_bytes, std::uint64_t free_device_bytes, bool one_memory)
    : memory_(memory), one_memory_(one_memory || memory.device == "cpu") {
  const bool host = memory.host_budget == kAutomaticBytes;
  const bool device = memory.device_budget == kAutomaticBytes;
  together_ = one_memory_ && host && device;
  chooses_host_ = host;
  if (host) memory_.host_budget = left(free_host_bytes, one_memory_ && !device ? memory.device_budget : 0);
  if (device)
    memory_.device_budget = left(one_memory_ ? free_host_bytes : free_device_bytes, one_memory_ && !together_ ? memory.host_budget : 0);
}

MemoryConfig Budgets::of(const Needs& needs) const {
  MemoryConfig memory = memory_;
  if (!together_) return memory;
  memory.device_budget = std::min(memory_.host_budget, core::round_up(static_cast<std::uint64_t>(std::max(0.0, needs.device)), kMiB));
  memory.host_budget = memory_.host_budget - memory.device_budget;
  return memory;
}

MemoryConfig Budgets::just(const Needs& needs) const {
  MemoryConfig memory = of(needs);
  if (chooses_host_)
    memory.host_budget = std::min(memory.host_budget, core::round_up(static_cast<std::uint64_t>(std::max(0.0, needs.host)), kMiB));
  return memory;
}

Needs Budgets::excess(const Needs& needs) const {
  const MemoryConfig memory = of(needs);
  return {std::max(0.0, needs.host - static_cast<double>(memory.host_budget)),
          std::max(0.0, needs.device - static_cast<double>(memory.device_budget))};
}

Budgets Budgets::more_host(std::uint64_t bytes) const {
  Budgets more = *this;
  more.memory_.host_budget += bytes;
  return more;
}

Budgets Budgets::more_device(std::uint64_t bytes) const {
  Budgets more = *this;
  more.memory_.device_budget += bytes;
  return more;
}

}  // namespace gsnake::plan
