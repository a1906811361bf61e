// Random problems for property tests.
#pragma once

#include <cstdint>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "schedule/graph.h"

namespace gsnake::schedule::test {

// Sanitizers slow this code down by an order of magnitude.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kSlowdown = 10;
#else
inline constexpr int kSlowdown = 1;
#endif

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::uint64_t>(high - low + 1))); }
  bool coin() { return below(2) == 0; }
  double fraction() { return static_cast<double>(below(1001)) / 1000.0; }
  template <typename T>
  const T& one_of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  std::mt19937_64 engine_;
};

inline Fractions random_fractions(Random& random) {
  switch (random.below(5)) {
    case 0:
      return {1.0, 0.0};
    case 1:
      return {0.0, 1.0};
    case 2:
      return {0.0, 0.0};
    case 3:
      return {1.0 / 3, 1.0 / 3};
    default:
      break;
  }
  const double device = random.fraction();
  return {device, (1.0 - device) * random.fraction()};
}

inline Problem random_problem(std::uint64_t seed) {
  Random random(seed);
  Problem p;
  const int units = random.between(2, 7);
  const std::uint64_t block = 1 + random.below(20 * kGrain);
  for (int unit = 0; unit < units; ++unit) {
    const bool alike = unit > 0 && unit + 1 < units && random.below(4) != 0;
    p.elements.push_back(alike ? block : 1 + random.below(20 * kGrain));
  }
  p.tied = random.coin();
  p.activation_bytes = 1 + random.below(20000);
  p.micro_batches = random.between(1, 6);
  p.schedule = random.below(3) == 0 ? ScheduleKind::horizontal : ScheduleKind::vertical;
  p.order = p.schedule == ScheduleKind::vertical && random.below(3) != 0 ? Order::snake : Order::ascending;
  p.delay = random.one_of<double>({0.0, 0.25, 0.7, 1.0, random.fraction()});
  p.weight_bytes = random.one_of<std::uint64_t>({2, 4});
  p.state_bytes.clear();
  for (int states = random.between(0, kMaxMoments); states > 0; --states) p.state_bytes.push_back(random.one_of<std::uint64_t>({2, 4}));
  if (p.trains() && random.coin()) {
    p.master = true;
    p.weights_derived = random.coin();
    p.state_bytes.insert(p.state_bytes.begin(), p.weights_derived ? 4 : 2);
  }
  p.weights = random_fractions(random);
  p.optimizer = random_fractions(random);
  p.activations = random_fractions(random);
  p.gradients_host = random.one_of<double>({0.0, 0.5, 1.0, random.fraction()});
  p.chunk_elements = kGrain * random.one_of<std::uint64_t>({1, 3, 8, 512});
  p.commits = p.trains() && random.coin();
  if (!p.trains()) return p;
  p.guard = random.one_of<Guard>({Guard::none, Guard::none, Guard::deferred, Guard::speculative});
  if (p.guard == Guard::deferred) p.delay = 1.0;
  if (p.guard == Guard::speculative) {
    p.commits = true;
    p.weights = p.optimizer = {0.0, 0.0};
  }
  return p;
}

// A training problem that chunks, tiers and delays everything there is, yet is small.
inline Problem mixed_problem(ScheduleKind schedule, int units, int micro_batches) {
  Problem p;
  for (int unit = 0; unit < units; ++unit)
    p.elements.push_back(static_cast<std::uint64_t>(unit == 0 || unit + 1 == units ? 7 : 5) * kGrain);
  p.tied = true;
  p.activation_bytes = 4096;
  p.micro_batches = micro_batches;
  p.schedule = schedule;
  p.order = schedule == ScheduleKind::vertical ? Order::snake : Order::ascending;
  p.delay = 0.4;
  p.weights = {0.2, 0.2};
  p.optimizer = {0.0, 0.2};
  p.activations = {0.2, 0.3};
  p.gradients_host = 0.5;
  p.chunk_elements = 4 * kGrain;
  p.commits = true;
  return p;
}

inline PoolSizes random_pools(const Problem& problem, std::uint64_t seed) {
  Random random(seed);
  PoolSizes sizes = minimum_pools(problem);
  if (random.coin()) return sizes;
  for (int& slots : sizes) slots += random.between(0, 4);
  return sizes;
}

inline std::string describe(const Problem& p) {
  std::ostringstream text;
  const auto put = [&](const char* name, const Fractions& f) { text << ", " << name << ' ' << f.device << '/' << f.host; };
  text << "elements";
  for (std::uint64_t elements : p.elements) text << ' ' << elements;
  text << (p.tied ? ", tied" : "") << ", M " << p.micro_batches << (p.schedule == ScheduleKind::vertical ? ", vertical" : ", horizontal")
       << (p.order == Order::snake ? " snake" : " ascending") << ", delay " << p.delay << ", states " << p.state_bytes.size()
       << (p.weights_derived ? ", whole master" : p.master ? ", master" : "")
       << (p.guard == Guard::none ? "" : p.guard == Guard::deferred ? ", deferred" : ", speculative");
  put("weights", p.weights);
  put("optimizer", p.optimizer);
  put("activations", p.activations);
  text << ", gradients " << p.gradients_host << ", chunk " << p.chunk_elements << ", activation " << p.activation_bytes
       << (p.commits ? ", commits" : "");
  return text.str();
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

inline std::vector<Variant> built_variants(const Program& program) {
  std::vector<Variant> variants;
  for (int i = 0; i < kVariantCount; ++i) {
    if (!program.graphs[static_cast<std::size_t>(i)].end_order.empty()) variants.push_back(static_cast<Variant>(i));
  }
  return variants;
}

}  // namespace gsnake::schedule::test
