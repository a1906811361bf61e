// The choices that plans make for a run.
#pragma once

#include <string>
#include <vector>

#include "greedysnake/trainer.h"
#include "plan/planner/planner.h"
#include "train/planning_basis.h"

namespace gsnake::train {

struct PlanWish {
  bool here = true;  // budgets that are "auto" are what is free on this machine; false: what the profile's machine has
  std::int64_t tokens_a_step = 0;  // 0: the planner's
  plan::Goal goal = plan::Goal::throughput;
  bool advises = true;  // what more would buy, and other numbers of micro-batches, too
};

plan::Plan plan_of(const PlanningBasis& basis, const Config& config, const PlanWish& wish = {});

// A config without choices.
struct Resolved {
  Config config;
  std::vector<std::string> choices;  // as RunReport has them
};

// The choices that `config` leaves for a run that options describe: what is part of the maths is as the run's commit has it, if it goes on
// from one; the rest is planned on options.machine, or on this machine, which is measured if that was never done. A config without choices stays as
// it is.
// `link`: between the ranks, where the profile does not say; null where there is one.
Resolved resolve(Model& model, const Config& config, const TrainerOptions& options, const sim::LinkProfile* link = nullptr);

}  // namespace gsnake::train
