// What all searches of one plan have in common.
#pragma once

#include <optional>
#include <vector>

#include "plan/planner/planner.h"
#include "plan/planner/search.h"

namespace gsnake::plan {

// The machine that a search is for, and what it may use of its memory.
struct Grounds {
  sim::MachineProfile profile;
  Budgets budgets;
};

class Planning {
 public:
  // The input is borrowed.
  explicit Planning(const PlannerInput& input) : input_(input) {}

  [[nodiscard]] const PlannerInput& input() const { return input_; }
  [[nodiscard]] Grounds grounds() const {
    return {input_.profile, Budgets(input_.config.memory, input_.free_host_bytes, input_.free_device_bytes, input_.setting.one_memory.has_value())};
  }
  // Of a config whose micro-batches and moments are settled.
  std::optional<Found> search(const Config& config, const Grounds& grounds, const Effort& effort, const std::vector<Point>& known = {});

  Search::Promise promise(const Config& config, const Grounds& grounds, const Point& known);

  [[nodiscard]] int simulations() const { return simulations_; }
  [[nodiscard]] double tasks() const { return tasks_; }

 private:
  const PlannerInput& input_;
  KnownNeeds needs_;
  int simulations_ = 0;
  double tasks_ = 0.0;
};

// Of each number of micro-batches that fits, doubled from 1 to 64 of each rank, the best plan there is. `known`: a point that is good for one of them.
struct Batched {
  std::int64_t micro_batches = 0;
  Found found;
};
std::vector<Batched> plans_by_batch(Planning& planning, Config config, const Effort& effort, const std::vector<Point>& known);
BatchPoint batch_point(const Config& config, const Estimate& estimate);
// The first that brings 95% of the best throughput of all; they are in ascending order, and there is one.
std::size_t saturation(const std::vector<BatchPoint>& batches);

// What more memory, faster lanes or one more drive would bring to the plan that was found; the most useful first.
std::vector<Purchase> purchases(Planning& planning, const Config& config, const Found& found);

}  // namespace gsnake::plan
