#include "run/all_ranks.h"

#include <algorithm>
#include <vector>

#include "train/group.h"

namespace gsnake::run {
namespace {

// Does `sum(number)` for each number that is added up over ranks, and `most(number)` for each of which the largest counts.
template <typename Sum, typename Most>
void for_numbers(StepResult& result, Traffic& traffic, std::uint64_t& rss_peak_bytes, const Sum& sum, const Most& most) {
  for (std::uint64_t* bytes : {&traffic.ssd_read_bytes, &traffic.ssd_write_bytes, &traffic.h2d_bytes, &traffic.d2h_bytes, &traffic.dequantised_elements}) sum(*bytes);
  for (double& ms : traffic.busy_ms) most(ms);
  for (double& ms : result.lanes) most(ms);
  most(result.step_ms);
  most(rss_peak_bytes);
}

}  // namespace

int AllRanks::reason_to_stop(int own) {
  const double said = own;
  const std::vector<double> all = train::shared(group_, {&said, 1});
  return static_cast<int>(*std::max_element(all.begin(), all.end()));
}

void AllRanks::sum_up(StepResult& result, Traffic& traffic, std::uint64_t& rss_peak_bytes) {
  if (group_ == nullptr) return;
  std::vector<double> own;
  const auto note = [&](auto& number) { own.push_back(static_cast<double>(number)); };
  for_numbers(result, traffic, rss_peak_bytes, note, note);
  const std::vector<double> all = train::shared(group_, own);
  std::size_t place = 0;
  const auto over_ranks = [&](auto& number, auto join) {
    using Number = std::decay_t<decltype(number)>;
    double joined = 0.0;
    for (std::size_t at = place; at < all.size(); at += own.size()) joined = join(joined, all[at]);
    number = static_cast<Number>(joined);
    ++place;
  };
  for_numbers(result, traffic, rss_peak_bytes, [&](auto& number) { over_ranks(number, [](double a, double b) { return a + b; }); },
              [&](auto& number) { over_ranks(number, [](double a, double b) { return std::max(a, b); }); });
  result.tokens_per_second = result.step_ms > 0.0 ? static_cast<double>(result.tokens) / result.step_ms * 1e3 : 0.0;
}

}  // namespace gsnake::run
