#include "ssd/contest.h"

#include <algorithm>

#include "greedysnake/error.h"
#include "ssd/fio.h"

namespace gsnake::bench {
namespace {

template <typename Value>
Spread spread_of(const std::vector<Sample>& samples, Value value) {
  if (samples.empty()) return {};
  std::vector<double> sorted;
  for (const Sample& sample : samples) sorted.push_back(sample.*value);
  std::ranges::sort(sorted);
  const std::size_t middle = sorted.size() / 2;
  const double median = sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return {median, sorted.front(), sorted.back()};
}

}  // namespace

Spread Result::rate() const { return spread_of(samples, &Sample::bytes_per_second); }
double Result::cpu() const { return spread_of(samples, &Sample::cpu_seconds_per_gib).median; }

Arena::Arena(const TestFiles& files, std::uint64_t memory_bytes) : files_(files), memory_(memory_bytes) {
  // Not zeros: a drive may compress or skip them.
  std::uint64_t state = 0x9E3779B97F4A7C15ULL;
  for (std::byte& value : memory_.span()) value = static_cast<std::byte>((state = state * 6364136223846793005ULL + 1) >> 56);
}

Sample Arena::measure(Mode mode, const Contestant& contestant) {
  if (contestant.engine == "fio") return measure_fio(mode, contestant.setting, files_);
  return bench::measure(contestant.engine, mode, contestant.setting, files_, memory_);
}

std::vector<Result> Arena::alternate(Mode mode, const std::vector<Contestant>& contestants, unsigned repeats) {
  std::vector<Result> results;
  for (const Contestant& contestant : contestants) results.push_back({contestant, {}, {}});
  for (unsigned round = 0; round <= repeats; ++round) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      Result& result = results[round % 2 == 0 ? i : results.size() - 1 - i];
      if (!result.refusal.empty()) continue;
      try {
        const Sample sample = measure(mode, result.contestant);
        if (round > 0) result.samples.push_back(sample);
      } catch (const Error& error) {
        result.refusal = error.what();
        result.samples.clear();
      }
    }
  }
  return results;
}

std::optional<Contestant> Arena::best(Mode mode, const std::vector<Contestant>& contestants, const Watcher& watcher) {
  std::optional<Contestant> fastest;
  double highest = 0.0;
  for (const Contestant& contestant : contestants) {
    try {
      const double rate = measure(mode, contestant).bytes_per_second;
      watcher(contestant, rate);
      if (rate <= highest) continue;
      highest = rate;
      fastest = contestant;
    } catch (const Error&) {
      watcher(contestant, 0.0);
    }
  }
  return fastest;
}

}  // namespace gsnake::bench
