// Promise 4: a run that is killed at any instant goes on from its last commit, and ends as one that nobody disturbed.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include "faults/fault_case.h"
#include "sweep.h"

namespace gsnake::test {
namespace {

// What the shim says of the call that a process died before: "fdatasync weights.bin". Digits apart, one name stands for several files.
std::string killed_before(const Outcome& outcome) {
  const std::string mark = "killed before: ";
  const std::size_t at = outcome.err.rfind(mark);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + mark.size();
  const std::string line = outcome.err.substr(begin, outcome.err.find('\n', begin) - begin);
  const std::size_t space = line.find(' ');
  std::string name = std::filesystem::path(line.substr(space + 1)).filename().string();
  if (name.rfind(".gsnake-", 0) == 0) name = ".gsnake-probe";
  return line.substr(0, space + 1) + name;
}

// How often a kill came before each call; printed, and asserted on.
class Phases {
 public:
  void add(const Outcome& outcome) { ++counts_[killed_before(outcome)]; }
  void print(const char* what) const {
    std::cout << "kills " << what << ":";
    for (const auto& [phase, count] : counts_) std::cout << ' ' << phase << " x" << count << ';';
    std::cout << '\n';
  }
  void expect(const std::vector<std::string>& phases) const {
    for (const std::string& phase : phases) EXPECT_TRUE(counts_.contains(phase)) << "no kill before " << phase;
  }

 private:
  std::map<std::string, int> counts_;
};

struct Shape {
  const char* name;
  std::vector<std::string> changes;
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{
      {"eager", {"train.delay=0"}},
      {"half_delayed_every_third_step", {"train.delay=0.5", "run.commit_every=3"}},
      {"delayed_and_spilled", {"train.delay=1"}},
      {"thirds", {"train.delay=0.25", "placement.weights.host=0.3", "placement.weights.device=0.3", "placement.optimizer.host=0.5", "placement.gradients.host=1"}},
      {"threads", {"train.delay=0.5", "ssd.engine=threads", "train.schedule=horizontal", "train.order=ascending"}},
      {"two_paths", {"train.delay=0.5", "ssd.paths=[\"one\", \"two\"]"}},
      {"snapshots", {"train.delay=0.5", "run.snapshot_every=1", "run.snapshot_keep=2"}},
      {"dropout", {"train.delay=0.5", "model.dropout=0.1"}},
      {"bf16_with_bf16_moments", {"train.delay=0.5", "train.dtype=bf16", "optimizer.moments=bf16"}},
      {"fp16", {"train.dtype=fp16", "optimizer.warmup_steps=20"}},
      {"clipped_deferred", {"train.delay=1", "optimizer.gradient_clipping=0.5", "optimizer.clipping_mode=deferred"}},
      {"clipped_speculative", {"train.delay=0.3", "optimizer.gradient_clipping=0.5", "optimizer.clipping_mode=speculative", "train.dtype=bf16"}},
  };
  return all;
}

// Of each shape: 48 in all, more in a long run.
int kills() {
  const int each = static_cast<int>(shapes().size());
  return (sweep(48, 1000) + each - 1) / each;
}

class KillTest : public FaultTest, public testing::WithParamInterface<Shape> {
 protected:
  // The arguments of a run that would never end.
  [[nodiscard]] std::vector<std::string> endless() const {
    std::vector<std::string> changes = GetParam().changes;
    changes.push_back("train.steps=1000000");
    return train_arguments(changes, {});
  }

  // No commit is lost, none is older than what the run said of itself.
  void check_commit() {
    const int step = committed_step();
    int reported = -1;
    for (const Json& line : metrics()) {
      if (line.is_object() && line.contains("committed_step")) reported = std::max(reported, line["committed_step"].get<int>());
    }
    EXPECT_GE(step, committed_);
    if (reported > 0) {
      EXPECT_GE(step, reported);
    }
    committed_ = std::max(committed_, step);
  }

  // Steps that were told of may be beyond the last commit: they are repeated.
  [[nodiscard]] std::size_t furthest() const { return std::max(losses().size(), static_cast<std::size_t>(std::max(0, committed_))); }

  // Goes on for three steps, undisturbed, and compares with a run that was never killed.
  void expect_the_same_end() {
    std::vector<std::string> changes = GetParam().changes;
    changes.push_back("train.steps=" + std::to_string(furthest() + 3));
    const Outcome outcome = train(changes);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    train_undisturbed(changes);
    expect_as_undisturbed();
  }

  int committed_ = -1;
};

TEST_P(KillTest, AtRandomInstantsLosesNothingThatWasCommitted) {
  const std::uint64_t seed = 7 + std::hash<std::string>()(GetParam().name) % 1000;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::map<std::string, int> phases;
  for (int kill = 0; kill < kills() && !HasFailure(); ++kill) {
    Process process(folder_, "killed-" + std::to_string(kill), endless());
    // Half of them while it starts or resumes, half while it trains.
    const bool trains = kill % 2 == 1;
    if (trains) {
      // More than the last one did, so that even a kill that follows at once leaves a longer run than the kill before; and so many that a shape
      // that commits every third step has committed one.
      ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, losses().size() + 4));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (trains ? 60'000 : 800'000)));
    process.signal(SIGKILL);
    const Outcome outcome = process.wait();
    ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
    check_commit();
    ++phases[trains                                                ? "while it trained"
             : outcome.err.find("step ") != std::string::npos      ? "in the first steps after a start"
             : outcome.err.find("going on") != std::string::npos   ? "after a resume was set up"
                                                                   : "before or during a start"];
  }
  std::cout << "kills at random instants:";
  for (const auto& [phase, count] : phases) std::cout << ' ' << phase << " x" << count << ';';
  std::cout << '\n';
  EXPECT_GT(committed_, 0);
  expect_the_same_end();
}

// From preallocation over the first commits; then, when there is one, from the resume over the next ones.
TEST_P(KillTest, BeforeSomeSystemCallsThatMakeThingsDurableLosesNothing) {
  const int calls = sweep(2, 4);
  const int stride = sweep(46, 23);  // over creation, or a resume, and the first commits
  Phases phases;
  const int offset = static_cast<int>(std::hash<std::string>()(GetParam().name) % stride);
  for (int round = 0; round < 2 && !HasFailure(); ++round) {
    for (int call = 0; call < calls && !HasFailure(); ++call) {
      const std::string name = "killed-" + std::to_string(round) + "-" + std::to_string(call);
      Process process(folder_, name, endless(), among("any,," + std::to_string(stride * call + offset) + ",kill"));
      const Outcome outcome = process.wait();
      ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
      phases.add(outcome);
      check_commit();
    }
    if (round == 1) break;
    std::vector<std::string> some = GetParam().changes;
    some.push_back("train.steps=" + std::to_string(std::max(0, committed_) + 3));
    const Outcome outcome = train(some);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    check_commit();
  }
  phases.print("before some calls");
  EXPECT_GT(committed_, 0);
  expect_the_same_end();
}

INSTANTIATE_TEST_SUITE_P(Shapes, KillTest, testing::ValuesIn(shapes()), [](const auto& instance) { return instance.param.name; });

// Calls of that name on files whose path has `name`, as many as there are in run.dir and the SSD path.
struct Point {
  const char* call;
  const char* name;
  int count;
};

// What a commit calls, in its order.
const std::vector<Point> kCommit{{"fdatasync", "weights.bin", 1},      {"fdatasync", "moment1.bin", 1},         {"fdatasync", "moment2.bin", 1},
                                 {"open", "checksums-", 2},            {"write", "checksums-", 2},              {"fdatasync", "checksums-", 2},
                                 {"unlink", "manifest.json.tmp", 2},   {"open", "manifest.json.tmp", 2},        {"write", "manifest.json.tmp", 2},
                                 {"fdatasync", "manifest.json.tmp", 2}, {"rename", "manifest.json", 2}};

class KillEveryCallTest : public FaultTest {
 protected:
  static constexpr int kMostCalls = 400;

  // A run that would never end, killed as the rule says.
  void killed(const std::string& rule, const std::vector<std::string>& options = {}) {
    std::vector<std::string> changes = changes_;
    changes.push_back("train.steps=1000000");
    const Outcome outcome = train(changes, options, among(rule + ",kill"));
    EXPECT_EQ(outcome.status, 128 + SIGKILL) << rule << outcome.err;
    EXPECT_EQ(killed_before(outcome).rfind(rule.substr(0, rule.find(',')) + " ", 0) == 0 || rule.rfind("any", 0) == 0, true) << outcome.err;
    phases_.add(outcome);
  }

  // Before each call of `points`; `before` and `after` are told the rule.
  template <typename Before, typename After>
  void before_each(const std::vector<Point>& points, const Before& before, const After& after) {
    for (const Point& point : points) {
      for (int number = 0; number < point.count && !HasFailure(); ++number) {
        const std::string rule = std::string(point.call) + "," + point.name + "," + std::to_string(number);
        SCOPED_TRACE(rule);
        before();
        killed(rule);
        after();
      }
    }
  }

  // As it stands in run.dir, of which each resume checks all.
  [[nodiscard]] int step() const {
    std::ifstream file(folder_ / "run/manifest.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const Json manifest = Json::parse(text, nullptr, false);
    EXPECT_TRUE(manifest.is_object() || text.empty()) << "torn: " << text;
    return manifest.is_object() ? manifest["training"]["step"].get<int>() : -1;
  }

  void expect_the_same_end() {
    std::vector<std::string> changes = changes_;
    changes.push_back("train.steps=" + std::to_string(losses().size() + 3));
    const Outcome outcome = train(changes);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    train_undisturbed(changes);
    expect_as_undisturbed();
  }

  std::vector<std::string> changes_{"train.delay=0.5"};
  Phases phases_;
};

// Every one finds what the one before has left.
TEST_F(KillEveryCallTest, OfACreationAndTheFirstCommitLosesNothing) {
  std::vector<Point> points{{"open", "/gsnake-lock", 2},          {"fallocate", "weights.bin", 1}, {"fallocate", "moment1.bin", 1}, {"fallocate", "moment2.bin", 1},
                            {"fallocate", "gradients.bin", 1}, {"fallocate", "activations.bin", 1}, {"fsync", "/ssd", 1}};
  points.insert(points.end(), kCommit.begin(), kCommit.end());
  const auto nothing_yet = [&] {
    std::filesystem::remove(folder_ / "run/manifest.json");  // what the last kills of the first commit may leave, on one side
    std::filesystem::remove(folder_ / "ssd/manifest.json");
    std::filesystem::remove(folder_ / "run/manifest.previous.json");
    std::filesystem::remove(folder_ / "ssd/manifest.previous.json");
  };
  before_each(points, nothing_yet, [&] { EXPECT_LE(step(), 1); });
  phases_.print("from creation to the first commit");
  expect_the_same_end();
}

TEST_F(KillEveryCallTest, OfAResumeAndAWholeCommitLosesNothing) {
  ASSERT_EQ(train({"train.delay=0.5", "train.steps=2"}).status, 0);
  std::vector<Point> points{{"open", "/gsnake-lock", 2}, {"ftruncate", "/gsnake-lock", 2}, {"open", "weights.bin", 1}, {"fallocate", "activations.bin", 1}, {"fsync", "/run", 2}, {"fsync", "/ssd", 2}};
  points.insert(points.end(), kCommit.begin(), kCommit.end());
  points.insert(points.end(), {{"unlink", "manifest.previous.json.tmp", 2}, {"link", "manifest.previous.json.tmp", 2}, {"rename", "manifest.previous.json", 2}});
  int before = 0;
  before_each(points, [&] { before = step(); }, [&] { EXPECT_TRUE(step() == before || step() == before + 1) << before << " and then " << step(); });
  phases_.print("from a resume over a commit");
  expect_the_same_end();
}

TEST_F(KillEveryCallTest, OfASnapshotLosesNothing) {
  changes_.insert(changes_.end(), {"run.snapshot_every=1", "run.snapshot_keep=1"});
  std::vector<std::string> first = changes_;
  first.push_back("train.steps=2");
  ASSERT_EQ(train(first).status, 0);
  const std::vector<Point> points{{"unlink", "snapshot-0.json", 4},       {"open", "checksums-snapshot", 2},       {"write", "checksums-snapshot", 2},
                                  {"fdatasync", "checksums-snapshot", 2}, {"write", "snapshot-0.json.tmp", 2},     {"fdatasync", "snapshot-0.json.tmp", 2},
                                  {"rename", "snapshot-0.json", 2}};
  int before = 0;
  before_each(points, [&] { before = step(); }, [&] { EXPECT_GE(step(), before); });
  phases_.print("in snapshots");
  // The place has a whole snapshot of some step, or none.
  const Json inspected = Json::parse(run({"inspect", "run", "--json", "--verify"}).out);
  for (const Json& snapshot : inspected["snapshots"]) EXPECT_FALSE(snapshot.contains("fault")) << snapshot;
  expect_the_same_end();
}

TEST_F(KillEveryCallTest, OfGoingBackToASnapshotLeavesTheLastCommitOrTheSnapshot) {
  const std::vector<std::string> changes{"train.delay=0.5", "run.snapshot_every=2", "run.snapshot_keep=2", "train.steps=6"};
  std::set<int> seen;
  bool whole = false;
  for (int call = 1; !whole && !HasFailure(); call += sweep(7, 4)) {
    ASSERT_LT(call, kMostCalls);
    const Outcome to_the_end = train(changes);
    ASSERT_EQ(to_the_end.status, 0) << to_the_end.err;
    const Outcome outcome = train(changes, {"--resume-from", "4"}, among("any,," + std::to_string(call) + ",kill"));
    ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
    phases_.add(outcome);
    ASSERT_GE(step(), 4);
    seen.insert(step());
    whole = step() == 5;
  }
  phases_.print("in going back");
  EXPECT_THAT(seen, testing::IsSupersetOf({4, 6}));
  const Outcome outcome = train(changes);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  train_undisturbed({"train.delay=0.5"});
  expect_as_undisturbed();
}

// With durability off, a kill may lose the run, but never leaves one that is not whole.
TEST_F(KillEveryCallTest, OfARunThatIsNotDurableLeavesTheCleanEndBeforeOrNoRun) {
  const std::vector<std::string> off{"train.delay=0.5", "run.durability=off"};
  const auto with = [&](const char* steps) {
    std::vector<std::string> changes = off;
    changes.push_back(steps);
    return changes;
  };
  std::set<int> seen;
  std::vector<std::string> kills{"unlink,/manifest.json,0,kill"};
  for (int call = 0; call < 45; call += sweep(5, 3)) kills.push_back("any,," + std::to_string(call) + ",kill");
  for (const std::string& kill : kills) {
    if (HasFailure()) break;
    ASSERT_EQ(train(with("train.steps=3")).status, 0);
    const Outcome outcome = train(with("train.steps=1000000"), {}, among(kill));
    ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
    phases_.add(outcome);
    seen.insert(step());
    ASSERT_TRUE(step() == 3 || step() == -1) << step();
  }
  phases_.print("with durability off");
  EXPECT_EQ(seen, (std::set<int>{-1, 3}));
  phases_.expect({"unlink manifest.json"});
  ASSERT_EQ(train(with("train.steps=6")).status, 0);
  train_undisturbed(with("train.steps=6"));
  expect_as_undisturbed();
}

}  // namespace
}  // namespace gsnake::test
