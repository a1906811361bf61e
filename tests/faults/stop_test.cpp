// What a user can do about a drive that does not answer, and what is said of it.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "faults/fault_case.h"

namespace gsnake::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class StopTest : public FaultTest {
 protected:
  [[nodiscard]] std::string log_of(const std::string& name) const {
    std::ifstream file(folder_ / (name + ".stderr"));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void wait_for_log(const std::string& name, const std::string& part) const {
    const auto until = std::chrono::steady_clock::now() + seconds(60);
    while (log_of(name).find(part) == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << log_of(name);
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  // Until it has begun to open or to make the run.
  void wait_for_lock() const {
    const auto until = std::chrono::steady_clock::now() + seconds(60);
    while (!std::filesystem::exists(folder_ / "run/gsnake-lock")) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "it made no lock";
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  // Until the shim sleeps in a call that the heartbeat would report only later.
  void wait_for_the_sleep(const Process& process) const {
    wait_for_steps(process, 2);
    std::this_thread::sleep_for(milliseconds(1500));
  }
};

TEST_F(StopTest, ASecondSignalEndsARunThatHangsInACommitAtOnce) {
  const std::vector<std::string> changes{"ssd.engine=threads", "train.steps=1000000"};
  Process process(folder_, "hangs", train_arguments(changes, {}), among("fdatasync,weights.bin,2+,sleep60000"));
  ASSERT_NO_FATAL_FAILURE(wait_for_the_sleep(process));
  process.signal(SIGINT);
  std::this_thread::sleep_for(milliseconds(1000));  // two that come at once are one
  const auto began = std::chrono::steady_clock::now();
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(40)) << "the sync would have taken a minute";
  const int committed = committed_step();
  EXPECT_GE(committed, 1);
  const std::string steps = "train.steps=" + std::to_string(committed + 3);
  ASSERT_EQ(train({steps}).status, 0);
  train_undisturbed({steps});
  expect_as_undisturbed();
}

// SIGINT while a resume reads the whole state, which takes minutes on a large one.
TEST_F(StopTest, ASignalDuringVerificationEndsTheStartAndLeavesTheRunAsItWas) {
  ASSERT_EQ(train().status, 0);
  const std::vector<std::string> before = files();
  const std::string was = state("run");
  const std::size_t lines = metrics().size();
  // Two reads are the probes for O_DIRECT; each of the others takes four seconds.
  Process process(folder_, "verifies", train_arguments({"ssd.engine=threads", "train.steps=9"}, {}), among("pread,moment,2+,sleep4000"));
  wait_for_lock();
  std::this_thread::sleep_for(milliseconds(1000));
  const auto began = std::chrono::steady_clock::now();
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(40));
  EXPECT_THAT(outcome.err, HasSubstr("stopped by a signal before the first step"));
  EXPECT_THAT(outcome.out, HasSubstr("no step was trained"));
  EXPECT_EQ(files(), before);
  EXPECT_EQ(metrics().size(), lines);
  EXPECT_TRUE(state("run") == was);
  ASSERT_EQ(train({"train.steps=9"}).status, 0);
  train_undisturbed({"train.steps=9"});
  expect_as_undisturbed();
}

TEST_F(StopTest, ASignalDuringACreationLeavesNothing) {
  const std::vector<std::string> before = files();
  Process process(folder_, "creates", train_arguments({}, {}), among("fallocate,.bin,0+,sleep1500"));
  wait_for_lock();
  std::this_thread::sleep_for(milliseconds(1000));
  process.signal(SIGTERM);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 143) << outcome.err;
  EXPECT_EQ(files(), before);
}

// Slow I/O is reported after ten seconds, with what is waited for: the three at once, to wait only once.
TEST_F(StopTest, AHeartbeatNamesTheCallThePathAndThePhaseThatKeepARunWaiting) {
  const auto arguments = [](const std::string& name) {
    return train_arguments({"ssd.engine=threads", "train.steps=1000000", "run.dir=" + name, "ssd.paths=[\"" + name + "/ssd\"]"}, {"--log-level", "warn"});
  };
  Process creates(folder_, "creates", arguments("a"), among("fallocate,moment1.bin,0,sleep60000"));
  Process syncs(folder_, "syncs", arguments("b"), among("fdatasync,weights.bin,2+,sleep60000"));
  Process reads(folder_, "reads", arguments("c"), among("pread,moment2.bin,20+,sleep60000"));
  ASSERT_NO_FATAL_FAILURE(wait_for_log("creates", "preallocating "));
  EXPECT_THAT(log_of("creates"), HasSubstr("preallocating " + (folder_ / "a/ssd/gsnake-moment1.bin").string()));
  ASSERT_NO_FATAL_FAILURE(wait_for_log("syncs", "fdatasync of "));
  EXPECT_THAT(log_of("syncs"), HasSubstr("fdatasync of " + (folder_ / "b/ssd/gsnake-weights.bin").string()));
  ASSERT_NO_FATAL_FAILURE(wait_for_log("reads", "ssd_read: read "));
  EXPECT_THAT(log_of("reads"), testing::ContainsRegex("ssd_read: read .* in " + (folder_ / "c/ssd/gsnake-moment2.bin").string() + ", for "));
}

}  // namespace
}  // namespace gsnake::test
