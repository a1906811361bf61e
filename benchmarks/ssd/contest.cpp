#include "ssd/contest.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "greedysnake/error.h"
#include "ssd/fio.h"

namespace gsnake::bench {
namespace {

// Of a sweep: a single measurement says little on a drive that others use too.
constexpr std::size_t kFinalists = 4;
constexpr unsigned kFinalRepeats = 3;

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
  measure::fill_with_noise(memory_.span());
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
  std::vector<std::pair<double, Contestant>> ranking;
  for (const Contestant& contestant : contestants) {
    double rate = 0.0;
    try {
      rate = measure(mode, contestant).bytes_per_second;
      ranking.emplace_back(rate, contestant);
    } catch (const Error&) {
    }
    watcher(contestant, rate);
  }
  std::ranges::stable_sort(ranking, std::greater<>(), &std::pair<double, Contestant>::first);
  std::vector<Contestant> finalists;
  for (std::size_t i = 0; i < std::min(kFinalists, ranking.size()); ++i) finalists.push_back(ranking[i].second);
  const std::vector<Result> results = alternate(mode, finalists, kFinalRepeats);
  const auto fastest = std::ranges::max_element(results, {}, [](const Result& result) { return result.rate().median; });
  return fastest == results.end() ? std::nullopt : std::optional(fastest->contestant);
}

}  // namespace gsnake::bench
