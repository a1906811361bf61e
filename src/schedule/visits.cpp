#include "schedule/visits.h"

#include <algorithm>
#include <numeric>

namespace gsnake::schedule {
namespace {

std::vector<Visit> one_pass(const Problem& problem, int down_to) {
  const int head = problem.unit_count() - 1;
  std::vector<Visit> visits;
  for (int unit = 0; unit < head; ++unit) visits.push_back({Pass::forward, unit, {}});
  visits.push_back({Pass::head, head, {}});
  for (int unit = head - 1; unit >= down_to; --unit) visits.push_back({Pass::backward, unit, {}});
  return visits;
}

void fill_micro_batches(std::vector<Visit>& visits, const Problem& problem) {
  std::vector<int> order(problem.micro_batches);
  std::iota(order.begin(), order.end(), 0);
  for (Visit& visit : visits) {
    visit.micro_batches = order;
    if (problem.order == Order::snake) std::reverse(order.begin(), order.end());
  }
}

}  // namespace

std::vector<Visit> vertical_visits(const Problem& problem) {
  std::vector<Visit> visits = one_pass(problem, first_trained_unit(problem));
  fill_micro_batches(visits, problem);
  return visits;
}

std::vector<Visit> horizontal_visits(const Problem& problem) {
  std::vector<Visit> visits;
  for (int m = 0; m < problem.micro_batches; ++m) {
    for (Visit& visit : one_pass(problem, first_trained_unit(problem))) {
      visit.micro_batches = {m};
      visits.push_back(std::move(visit));
    }
  }
  return visits;
}

std::vector<Visit> training_visits(const Problem& problem) {
  return problem.schedule == ScheduleKind::vertical ? vertical_visits(problem) : horizontal_visits(problem);
}

std::vector<Visit> forward_visits(const Problem& problem) {
  std::vector<Visit> visits = one_pass(problem, problem.unit_count());
  fill_micro_batches(visits, problem);
  return visits;
}

}  // namespace gsnake::schedule
