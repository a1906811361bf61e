// How much computing and other work slow one another.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "measure/load.h"
#include "measure/share_fit.h"

namespace gsnake::measure {

// On a thread of its own, over and over. `compute` is borrowed.
std::unique_ptr<Load> start_computing(const std::function<void()>& compute);

struct Rival {
  Partner partner = Partner::optimizer;
  std::function<std::vector<std::unique_ptr<Load>>()> start;
};

struct Contention {
  std::vector<Pair> pairs;
  double compute_cores = 0.0;  // the processors that were busy while it computed alone
};

// Of each pair, three times: the rival alone, both, computing alone, so that what is compared is measured within a second or two; the
// medians. `compute` is called on threads of its own. `before` is called before each pair and may throw.
Contention measure_contention(const std::function<void()>& compute, const std::vector<Rival>& rivals, const Patience& patience,
                              const std::function<void(const Rival&)>& before);

inline constexpr int kPairRounds = 3;
// How many times `patience.seconds` each pair takes.
inline constexpr double kPairWindows = 3.0;

}  // namespace gsnake::measure
