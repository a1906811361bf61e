#include "measure/contention.h"

#include <algorithm>
#include <numeric>

#include "measure/median.h"

namespace gsnake::measure {
namespace {

// The first call of a thread makes what the later ones find: threads, memory, plans of kernels.
constexpr std::uint64_t kFirstCalls = 2;

using Loads = std::vector<std::unique_ptr<Load>>;

Observation look(const Loads& loads, const Patience& patience) {
  std::vector<const Load*> all;
  for (const auto& load : loads) all.push_back(load.get());
  return observe(all, patience);
}

double sum(std::span<const double> rates) { return std::accumulate(rates.begin(), rates.end(), 0.0); }

// More than all of it is noise: nothing gets faster by company.
double part(double together, double alone) { return std::min(1.0, together / alone); }

struct Round {
  double compute = 1.0;  // as Pair has them
  double other = 1.0;
  double cores = 0.0;  // computing alone
};

Round measure_round(const std::function<void()>& compute, const Rival& rival, const Patience& patience) {
  Loads loads = rival.start();
  const double rival_alone = sum(look(loads, patience).per_second);
  loads.push_back(start_computing(compute));
  const std::vector<double> together = look(loads, patience).per_second;
  loads.erase(loads.begin(), loads.end() - 1);
  const Observation alone = look(loads, patience);
  return {part(together.back(), alone.per_second.front()), part(sum(std::span(together).first(together.size() - 1)), rival_alone),
          alone.cores};
}

}  // namespace

std::unique_ptr<Load> start_computing(const std::function<void()>& compute) {
  return std::make_unique<Load>("computing", std::vector{repeated([&compute] {
                                  compute();
                                  return 1.0;
                                })},
                                kFirstCalls);
}

Contention measure_contention(const std::function<void()>& compute, const std::vector<Rival>& rivals, const Patience& patience,
                              const std::function<void(const Rival&)>& before) {
  Contention result;
  std::vector<double> cores;
  for (const Rival& rival : rivals) {
    before(rival);
    std::vector<double> computes;
    std::vector<double> others;
    for (int i = 0; i < kPairRounds; ++i) {
      const Round round = measure_round(compute, rival, {patience.seconds / kPairRounds, patience.most_seconds});
      computes.push_back(round.compute);
      others.push_back(round.other);
      cores.push_back(round.cores);
    }
    result.pairs.push_back({rival.partner, median(computes), median(others)});
  }
  if (!cores.empty()) result.compute_cores = median(cores);
  return result;
}

}  // namespace gsnake::measure
