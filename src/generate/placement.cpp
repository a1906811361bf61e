#include "generate/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <set>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "memory/budget.h"
#include "plan/memory_plan.h"

namespace gsnake::generate {
namespace {

constexpr const char* kHost = "host";
constexpr std::array kTiers{"device", kHost};
constexpr std::uint64_t kStagings = 2;  // as WeightFeed has them

// Of a unit, that take slots at once.
int most_objects(const MemoryNeeds& needs) {
  std::size_t most = 0;
  for (const std::vector<int>& objects : needs.uses) most = std::max(most, objects.size());
  return static_cast<int>(most);
}

class Placer {
 public:
  Placer(const MemoryConfig& budgets, const MemoryNeeds& needs) : budgets_(budgets), needs_(needs), sizes_(needs.objects.begin(), needs.objects.end()) {}

  // The smaller the slots, the more stays; twice as many as a unit takes, so that the next one's are read meanwhile.
  std::optional<GenerationMemory> place() {
    if (auto all = with(0, 0)) return all;
    const int most = most_objects(needs_);
    for (const int slots : {2 * most, most}) {
      for (const std::uint64_t bytes : sizes_) {
        if (auto some = with(slots, bytes)) return some;
      }
    }
    return std::nullopt;
  }

  // What there has to be at the least.
  [[noreturn]] void refuse() {
    const int slots = most_objects(needs_);
    const std::uint64_t slot_bytes = *sizes_.rbegin();
    memory_ = {};
    memory_.items = needs_.fixed;
    add("device", "slots for weights", static_cast<std::uint64_t>(slots) * slot_bytes, fmt::format("{} of {}", slots, core::format_bytes(slot_bytes)));
    add_stagings();
    place_caches(true);
    std::string needed;
    std::string raise;
    std::string tables;
    for (const char* tier : kTiers) {
      const memory::BudgetPlan plan = plan::budget_plan(memory_.items, tier, budgets_);
      tables += fmt::format("{} memory, of {}:\n{}", tier, core::format_bytes(plan.limit()), plan.table());
      if (plan.fits()) continue;
      needed += (needed.empty() ? "" : "; ") + plan.excess();
      raise += fmt::format("{} memory.{}_budget to at least {}", raise.empty() ? "set" : " and", tier, memory::format_bytes_at_least(plan.total() + (tier == kHost ? std::min(needs_.host_growth, plan.total() / 3) : 0)));
    }
    if (needs_.lacks_temporaries) raise += " (and more for LibTorch's temporaries, which are measured once there is room for the rest)";
    throw Error(ErrorKind::budget, fmt::format("{}; {}, or give fewer or shorter texts\n{}", needed, raise, tables));
  }

 private:
  // With so many slots of so many bytes each; no slots: every object stays.
  std::optional<GenerationMemory> with(int slots, std::uint64_t slot_bytes) {
    memory_ = {};
    memory_.items = needs_.fixed;
    memory_.weights = {std::vector<Tier>(needs_.objects.size(), Tier::storage), slots, slot_bytes};
    if (slots > 0) add("device", "slots for weights", static_cast<std::uint64_t>(slots) * slot_bytes, fmt::format("{} of {}", slots, core::format_bytes(slot_bytes)));
    add_stagings();
    if (!fits() || !place_caches(false) || !place_objects()) return std::nullopt;
    return std::move(memory_);
  }

  void add_stagings() {
    if (needs_.reads_through_host) add("host", "weights on their way", kStagings * *std::max_element(needs_.objects.begin(), needs_.objects.end()), "from a drive to the device");
  }
  void add(const char* tier, const char* name, std::uint64_t bytes, std::string detail) { memory_.items.push_back({tier, name, bytes, std::move(detail)}); }
  [[nodiscard]] bool fits() const {
    return std::all_of(kTiers.begin(), kTiers.end(), [&](const char* tier) { return plan::budget_plan(memory_.items, tier, budgets_).fits(); });
  }
  [[nodiscard]] std::uint64_t left(const char* tier) const {
    const memory::BudgetPlan plan = plan::budget_plan(memory_.items, tier, budgets_);
    return plan.limit() - std::min(plan.limit(), plan.total());
  }

  // regardless: on the host, whatever that comes to.
  bool place_caches(bool regardless) {
    const std::uint64_t all = std::accumulate(needs_.caches.begin(), needs_.caches.end(), std::uint64_t{0});
    std::uint64_t on_device = left("device");
    std::uint64_t device_bytes = 0;
    std::uint64_t visiting = 0;  // one unit's, to which those on the host are copied
    if (needs_.reads_through_host && all > on_device) visiting = *std::max_element(needs_.caches.begin(), needs_.caches.end());
    if (visiting > on_device && !regardless) return false;
    on_device -= std::min(on_device, visiting);
    for (const std::uint64_t bytes : needs_.caches) {
      const bool there = !regardless && device_bytes + bytes <= on_device;
      if (there) device_bytes += bytes;
      memory_.caches.push_back(there ? Tier::device : Tier::host);
    }
    add("device", "keys and values", device_bytes + visiting, needs_.caches_detail);
    add("host", "keys and values", all - device_bytes, needs_.caches_detail);
    return regardless || fits();
  }

  // Those that are too large for a slot first, then what is used twice, then as the units come.
  [[nodiscard]] std::vector<int> by_importance() const {
    std::vector<int> objects(needs_.objects.size());
    std::iota(objects.begin(), objects.end(), 0);
    const auto rank = [&](int object) { return needs_.objects[static_cast<std::size_t>(object)] > memory_.weights.slot_bytes ? 0 : object == needs_.first_to_stay ? 1 : 2; };
    std::stable_sort(objects.begin(), objects.end(), [&](int a, int b) { return rank(a) < rank(b); });
    return objects;
  }

  bool place_objects() {
    std::array<std::uint64_t, 2> room{left("device"), left("host")};
    std::array<std::uint64_t, 2> taken{};
    std::array<int, 2> count{};
    for (const int object : by_importance()) {
      const std::uint64_t bytes = needs_.objects[static_cast<std::size_t>(object)];
      Tier& tier = memory_.weights.tiers[static_cast<std::size_t>(object)];
      const bool fits_slot = memory_.weights.slots > 0 && bytes <= memory_.weights.slot_bytes;
      const bool may_stay_on_host = !needs_.reads_through_host || fits_slot;
      if (taken[0] + bytes <= room[0]) {
        tier = Tier::device;
      } else if (may_stay_on_host && taken[1] + bytes <= room[1]) {
        tier = Tier::host;
      } else if (!fits_slot) {
        return false;
      }
      if (tier == Tier::storage) continue;
      taken[static_cast<std::size_t>(tier)] += bytes;
      ++count[static_cast<std::size_t>(tier)];
    }
    for (std::size_t i = 0; i < kTiers.size(); ++i) add(kTiers[i], "weights that stay", taken[i], fmt::format("{} of {} objects", count[i], needs_.objects.size()));
    return true;
  }

  const MemoryConfig& budgets_;
  const MemoryNeeds& needs_;
  const std::set<std::uint64_t> sizes_;  // of objects
  GenerationMemory memory_;
};

}  // namespace

std::optional<GenerationMemory> place(const MemoryConfig& budgets, const MemoryNeeds& needs) { return Placer(budgets, needs).place(); }

void refuse(const MemoryConfig& budgets, const MemoryNeeds& needs) { Placer(budgets, needs).refuse(); }

bool has_room_for_dry_runs(const MemoryConfig& budgets, const MemoryNeeds& needs) {
  std::uint64_t weights = 0;
  for (const std::vector<int>& objects : needs.uses) {
    std::uint64_t of_unit = 0;
    for (const int object : objects) of_unit += needs.objects[static_cast<std::size_t>(object)];
    weights = std::max(weights, of_unit);
  }
  std::uint64_t room = budgets.device_budget;
  if (!needs.reads_through_host && __builtin_add_overflow(room, budgets.host_budget, &room)) return true;
  return plan::bytes_of(needs.fixed, "device") + weights + needs.longest_cache <= room;
}

std::uint64_t room_beside(const MemoryConfig& budgets, const MemoryNeeds& needs) {
  const std::uint64_t fixed = plan::bytes_of(needs.fixed, "device");
  return budgets.device_budget - std::min(budgets.device_budget, fixed);
}

}  // namespace gsnake::generate
