// Whether steps take as long as was predicted.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "greedysnake/results.h"

namespace gsnake::run {

// Says once that a run is slower than predicted by a fifth over twenty steps, and which lane is to blame: the one whose busy time exceeds
// the predicted one the most.
class PaceWatch {
 public:
  explicit PaceWatch(Prediction prediction) : prediction_(std::move(prediction)) {}
  // Of each step in turn, what is to be said, if anything. Steps with other work in their time (validation, the first ones) are left out by the caller.
  std::optional<std::string> look(const StepResult& result);

 private:
  struct Seen {
    double step_ms = 0.0;
    double predicted_ms = 0.0;
    std::array<double, kLanes> busy_ms{};
  };
  [[nodiscard]] std::string blame(double measured, double predicted) const;

  const Prediction prediction_;
  std::deque<Seen> seen_;
  bool said_ = false;
};

// The lane that binds, and how close the step came to what it alone needs: "ssd_read binds at 97% of its limit"; without a prediction "".
std::string binding_text(const Prediction& prediction, double step_ms);

}  // namespace gsnake::run
