// What a config's steps take and what it needs of memory, by simulation: of models with many units, from two with few.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "plan/forecast.h"
#include "plan/planner/budgets.h"

namespace gsnake::plan {

struct Estimate {
  double step_seconds = 0.0;                          // 0: it does not fit, and was not simulated
  double written = 0.0;                               // bytes to SSD
  std::array<double, schedule::kLaneCount> limits{};  // as sim::LaneTime
  Needs excess;                                       // beyond the budgets; nothing where it fits
  MemoryConfig memory;                                // with budgets that are numbers; where it fits
  [[nodiscard]] bool fits() const { return excess.host <= 0.0 && excess.device <= 0.0; }
};

// As PredictionOptions::tasks_walked: small models, whose steps fluctuate more, are watched for more of them.
inline constexpr std::size_t kTasksWalked = 12'000;

// What of a model with many units is simulated.
enum class Detail : std::uint8_t {
  rough,  // 8 and 16 units of each shape: steps are up to 10% too short where no lane is much slower than another, since slots go round
          // half of so small a model
  fine,   // all, or of more than a hundred 24 and 48 of each shape: within 1%
};

// Of one model on one machine. Remembers nothing but how much it has done.
class Estimator {
 public:
  // All borrowed.
  Estimator(const Setting& setting, const sim::MachineProfile& profile, const Budgets& budgets, Detail detail);

  // The config's placement, delay and micro-batches have been settled; budgets are `budgets`'. Slots that let lanes run ahead are as many
  // as fit or, if `eighths` is less than all, so many eighths of what they could use: then the host's budget, if it is "auto", is no more
  // than that takes.
  [[nodiscard]] Estimate estimate(const Config& config, int eighths = kEighths);
  [[nodiscard]] RunNeeds needs(const Config& config) const;

  [[nodiscard]] const Budgets& budgets() const { return budgets_; }
  [[nodiscard]] int simulations() const { return simulations_; }
  [[nodiscard]] double tasks() const { return tasks_; }  // that were walked through

 private:
  // A model with a part in the sum that stands for the whole.
  struct Part {
    double weight = 1.0;
    std::optional<ModelLayout> layout;  // nothing: the whole
  };
  // One of these for a config.
  struct Sample;

  [[nodiscard]] static std::vector<Part> parts_of(const ModelLayout& layout, Detail detail);
  [[nodiscard]] Sample sample_of(const Config& config, const Part& part, bool coarse) const;
  void simulate(Estimate& estimate, const Config& config, const std::vector<Sample>& samples, int eighths);

  const Setting& setting_;
  const sim::MachineProfile& profile_;
  const Budgets& budgets_;
  const std::vector<Part> parts_;
  const std::vector<Part> rough_;  // which memory is told by
  int simulations_ = 0;
  double tasks_ = 0.0;
};

}  // namespace gsnake::plan
