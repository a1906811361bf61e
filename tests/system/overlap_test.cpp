// That a slow SSD lane is kept busy, by the trace of a run that is held to a rate: what the lane had in hand when, not how long it took.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "cli/command.h"

namespace gsnake::test {
namespace {

struct Traced {
  std::string lane;
  int step = 0;
  double begin = 0.0;
  double end = 0.0;
};

struct Case {
  const char* name;
  const char* lane;
  const char* delay;
};

class OverlapTest : public CommandTest, public testing::WithParamInterface<Case> {
 protected:
  [[nodiscard]] std::vector<Traced> traced() const {
    std::ifstream file(folder_ / "run/trace.json");
    const Json trace = Json::parse(file);
    std::vector<Traced> tasks;
    for (const Json& event : trace["traceEvents"]) {
      if (event.value("ph", "") != "X") continue;
      const double begin = event["ts"];
      tasks.push_back({event["cat"], event["args"]["step"], begin, begin + event["dur"].get<double>()});
    }
    std::sort(tasks.begin(), tasks.end(), [](const Traced& a, const Traced& b) { return a.begin < b.begin; });
    return tasks;
  }
};

constexpr int kFirst = 3;  // steady from here on
constexpr int kLast = 7;

// A task that began when its lane had nothing else in hand.
struct Work {
  int tasks = 0;
  int ran_dry = 0;
};

Work steady_work(const std::vector<Traced>& traced, const std::string& lane) {
  Work work;
  double busy_until = 0.0;
  for (const Traced& task : traced) {
    if (task.lane != lane) continue;
    if (task.step >= kFirst && task.step <= kLast) {
      ++work.tasks;
      work.ran_dry += work.tasks > 1 && task.begin > busy_until ? 1 : 0;
    }
    busy_until = std::max(busy_until, task.end);
  }
  return work;
}

bool reads_begin_before_writes_end(const std::vector<Traced>& traced, int step) {
  double last_write_ends = 0.0;
  double first_read_begins = std::numeric_limits<double>::max();
  for (const Traced& task : traced) {
    if (task.lane == "ssd_write" && task.step == step) last_write_ends = std::max(last_write_ends, task.end);
    if (task.lane == "ssd_read" && task.step == step + 1) first_read_begins = std::min(first_read_begins, task.begin);
  }
  return first_read_begins < last_write_ends;
}

// 3 MB a second: a step takes most of a second, of which all else needs a few hundredths.
TEST_P(OverlapTest, TheSlowLaneHasItsNextTaskInHandAcrossSteps) {
  const std::string lane = GetParam().lane;
  const Outcome outcome = train({"train.steps=8", std::string("train.delay=") + GetParam().delay, "emulate." + lane + "=\"3 MB\"", "run.trace=trace.json",
                                 "run.trace_steps=[3, 7]"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<Traced> tasks = traced();
  const Work work = steady_work(tasks, lane);
  EXPECT_GT(work.tasks, 40);
  EXPECT_LE(work.ran_dry, work.tasks / 10) << "of " << work.tasks;
  for (int step = kFirst; step < kLast; ++step) EXPECT_TRUE(reads_begin_before_writes_end(tasks, step)) << "step " << step;
}

INSTANTIATE_TEST_SUITE_P(Lanes, OverlapTest,
                         testing::Values(Case{"reads_delay_0", "ssd_read", "0"}, Case{"reads_delay_1", "ssd_read", "1"}, Case{"writes_delay_0", "ssd_write", "0"},
                                         Case{"writes_delay_1", "ssd_write", "1"}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace gsnake::test
