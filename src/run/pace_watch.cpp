#include "run/pace_watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace gsnake::run {
namespace {

constexpr std::size_t kSteps = 20;
constexpr double kTooSlow = 1.2;
constexpr double kLeastShare = 0.02;  // of a step, below which a lane's busy time is nobody's fault

}  // namespace

std::optional<std::string> PaceWatch::look(const StepResult& result) {
  if (said_ || prediction_.machine.empty() || result.predicted_ms <= 0.0 || result.redone) return std::nullopt;
  seen_.push_back({result.step_ms, result.predicted_ms, result.lanes});
  if (seen_.size() < kSteps) return std::nullopt;
  if (seen_.size() > kSteps) seen_.pop_front();
  double measured = 0.0;
  double predicted = 0.0;
  for (const Seen& seen : seen_) {
    measured += seen.step_ms / kSteps;
    predicted += seen.predicted_ms / kSteps;
  }
  if (measured < kTooSlow * predicted) return std::nullopt;
  said_ = true;
  return fmt::format("the last {} steps took {:.1f} ms each, {:.2f} times the {:.1f} ms that were predicted on \"{}\"; {}", kSteps, measured, measured / predicted, predicted,
                     prediction_.machine, blame(measured, predicted));
}

std::string PaceWatch::blame(double measured, double predicted) const {
  std::size_t worst = 0;
  double most = 0.0;
  double busy_of_worst = 0.0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    double busy = 0.0;
    for (const Seen& seen : seen_) busy += seen.busy_ms[lane] / kSteps;
    const double excess = busy - prediction_.busy_ms[lane];
    if (busy < kLeastShare * measured || excess <= most) continue;
    most = excess;
    worst = lane;
    busy_of_worst = busy;
  }
  if (most < kLeastShare * predicted) return "no lane was busy for longer than predicted: something outside of this run holds it up, or `gsnake plan` measured another state of this machine";
  const double before = prediction_.busy_ms[worst];
  return fmt::format("{} was busy for {:.1f} ms of each, predicted {:.1f}{}; if that is how this machine is now, measure it again with `gsnake plan`", lane_name(static_cast<int>(worst)),
                     busy_of_worst, before, before > 0.0 ? fmt::format(" ({:.2f} times)", busy_of_worst / before) : "");
}

std::string binding_text(const Prediction& prediction, double step_ms) {
  if (prediction.machine.empty() || step_ms <= 0.0) return {};
  const auto longest = std::max_element(prediction.limit_ms.begin(), prediction.limit_ms.end());
  if (*longest <= 0.0) return {};
  // What a step took less than the limit is the measurement's noise, or work that ran ahead.
  const double share = std::min(1.0, *longest / step_ms);
  return fmt::format("{} binds, at {:.0f}% of its limit", lane_name(static_cast<int>(longest - prediction.limit_ms.begin())), 100.0 * share);
}

}  // namespace gsnake::run
