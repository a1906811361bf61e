// What a plan could be with other numbers of micro-batches, and on better machines.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "core/bytes.h"
#include "plan/planner/planning.h"
#include "plan/problem.h"

namespace gsnake::plan {
namespace {

constexpr std::int64_t kMostMicroBatches = 64;
constexpr double kSaturated = 0.95;
constexpr double kFaster = 1.1;
constexpr double kNoticed = 0.003;  // of a large model's step: what promises less is not simulated, and gains nothing
constexpr std::uint64_t kLeastMore = 1ULL << 30;
constexpr Effort kAnotherMachine{.answers = 2, .tasks = 0.0, .refines = false, .detail = Detail::rough};

std::uint64_t more_of(std::uint64_t bytes) { return std::max(bytes / 4, kLeastMore); }

void speed_up(sim::RateCurve& curve) {
  for (sim::RatePoint& point : curve) point.per_second *= kFaster;
}

struct Improvement {
  std::string what;
  Grounds grounds;
};

class Improvements {
 public:
  Improvements(const Grounds& grounds, const Config& config) : grounds_(grounds), config_(config) {}

  std::vector<Improvement> run() {
    add_memory();
    faster("SSD reads", [](sim::MachineProfile& p) {
      for (sim::SsdProfile& ssd : p.ssds) speed_up(ssd.read);
    });
    faster("SSD writes", [](sim::MachineProfile& p) {
      for (sim::SsdProfile& ssd : p.ssds) speed_up(ssd.write);
    });
    faster("copies to the device", [](sim::MachineProfile& p) { p.h2d.per_second *= kFaster; });
    faster("copies from the device", [](sim::MachineProfile& p) { p.d2h.per_second *= kFaster; });
    faster("the optimizer", [](sim::MachineProfile& p) {
      for (sim::OptimizerRate& rate : p.optimizer.rates) rate.per_second *= kFaster;
    });
    faster("compute", [](sim::MachineProfile& p) {
      for (sim::ComputeRate& rate : p.compute.rates) rate.per_second *= kFaster;
      for (sim::UnitTime& unit : p.compute.units) {
        unit.seconds.forward /= kFaster;
        unit.seconds.backward /= kFaster;
      }
    });
    faster("host memory's bandwidth", [](sim::MachineProfile& p) { p.cpu.dram *= kFaster; });
    if (config_.ranks.count > 1) faster("the link between ranks", [](sim::MachineProfile& p) { p.link.per_second *= kFaster; });
    if (!grounds_.profile.ssds.empty())
      add("one more drive like the first", [](sim::MachineProfile& p) { p.ssds.push_back(p.ssds.front()); });
    return std::move(all_);
  }

 private:
  void add_memory() {
    const Budgets& budgets = grounds_.budgets;
    const MemoryConfig now = budgets.most();
    const std::uint64_t host = more_of(now.host_budget);
    const char* each = config_.ranks.count > 1 ? " for each rank" : "";
    all_.push_back({fmt::format("{} more {}{}", core::format_bytes(host), budgets.together() ? "memory" : "host memory", each),
                    {grounds_.profile, budgets.more_host(host)}});
    if (budgets.of_one_memory()) return;
    const std::uint64_t device = more_of(now.device_budget);
    all_.push_back({fmt::format("{} more device memory{}", core::format_bytes(device), each), {grounds_.profile, budgets.more_device(device)}});
  }

  void add(std::string what, const std::function<void(sim::MachineProfile&)>& change) {
    Improvement& better = all_.emplace_back(Improvement{std::move(what), grounds_});
    change(better.grounds.profile);
  }
  void faster(const char* what, const std::function<void(sim::MachineProfile&)>& change) {
    add(fmt::format("{} 10% faster", what), change);
  }

  const Grounds& grounds_;
  const Config& config_;
  std::vector<Improvement> all_;
};

}  // namespace

std::vector<Batched> plans_by_batch(Planning& planning, Config config, const Effort& effort, const std::vector<Point>& known) {
  std::vector<Batched> all;
  std::vector<Point> good = known;
  const std::int64_t ranks = config.ranks.count;
  for (std::int64_t micro_batches = ranks; micro_batches <= kMostMicroBatches * ranks; micro_batches *= 2) {
    config.train.micro_batches = micro_batches;
    std::optional<Found> found = planning.search(config, planning.grounds(), effort, good);
    if (!found) continue;
    if (known.empty()) good = {found->point};
    all.push_back({micro_batches, std::move(*found)});
  }
  return all;
}

BatchPoint batch_point(const Config& config, const Estimate& estimate) {
  const double tokens = static_cast<double>(config.train.micro_batches) * static_cast<double>(tokens_of(config, Purpose::train));
  return {config.train.micro_batches, tokens, estimate.step_seconds, estimate.limits};
}

std::size_t saturation(const std::vector<BatchPoint>& batches) {
  double best = 0.0;
  for (const BatchPoint& point : batches) best = std::max(best, point.tokens_per_second());
  const auto enough = [&](const BatchPoint& point) { return point.tokens_per_second() >= kSaturated * best; };
  return static_cast<std::size_t>(std::find_if(batches.begin(), batches.end(), enough) - batches.begin());
}

std::vector<Purchase> purchases(Planning& planning, const Config& config, const Found& found) {
  std::vector<Purchase> all;
  const Grounds grounds = planning.grounds();
  const std::optional<Found> as_it_is = planning.search(config, grounds, kAnotherMachine, {found.point});
  if (!as_it_is) return all;
  const double now = as_it_is->estimate.step_seconds;
  const bool is_large = planning.input().setting.layout->units.size() > kLargeModel;
  const Search::Promise promise = planning.promise(config, grounds, found.point);
  for (const Improvement& better : Improvements(grounds, config).run()) {
    double gain = 0.0;
    const Search::Promise with = planning.promise(config, better.grounds, found.point);
    const bool promises = with.known < promise.known * (1.0 - kNoticed) || with.best < promise.best * (1.0 - kNoticed);
    if (promises || !is_large) {
      const std::optional<Found> then = planning.search(config, better.grounds, kAnotherMachine, {found.point});
      gain = std::max(0.0, now / (then ? then->estimate.step_seconds : now) - 1.0);
    }
    all.push_back({better.what, found.estimate.step_seconds / (1.0 + gain), gain});
  }
  std::stable_sort(all.begin(), all.end(), [](const Purchase& a, const Purchase& b) { return a.gain > b.gain; });
  return all;
}

}  // namespace gsnake::plan
