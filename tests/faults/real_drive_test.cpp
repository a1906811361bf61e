// Runs on real file systems that fill up, break, go read-only, refuse O_DIRECT or have large sectors.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "faults/fault_case.h"
#include "faults/real_drive.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

#define SKIP_WITHOUT(drive) \
  if (!(drive).why().empty()) GTEST_SKIP() << "no such file system here: " << (drive).why()

class RealDriveTest : public FaultTest, public testing::WithParamInterface<const char*> {
 protected:
  static std::string engine() { return std::string("ssd.engine=") + GetParam(); }
  // The state on the drive, run.dir outside.
  static std::vector<std::string> on(const RealDrive& drive, const std::string& steps = "6") {
    return {engine(), "ssd.paths=[\"" + (drive / "ssd") + "\"]", "train.steps=" + steps};
  }

  // A run that trains on the drive when `fault` happens to it; the error it ends with.
  template <typename Fault>
  std::string ends_when(const RealDrive& drive, const Fault& fault) {
    Process process(folder_, "hit", train_arguments(on(drive, "1000000"), {}));
    wait_for_steps(process, 3);
    if (HasFatalFailure()) return {};
    fault();
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.status, 4) << outcome.err;
    const std::size_t begin = outcome.err.rfind("gsnake: error: ");
    const std::string error = begin == std::string::npos ? outcome.err : outcome.err.substr(begin);
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(metrics().back()["exit_status"], 4) << "the metrics end with the failure";
    return error;
  }

  // A file that was cut is as long as before after a write beyond its end, and a run that had everything in memory at that instant
  // misses nothing: cut it until the run has met it, which is when the thread goes.
  static std::jthread again_and_again(std::function<void()> cut) {
    return std::jthread([cut = std::move(cut)](const std::stop_token& stop) {
      for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(1))) cut();
    });
  }

  void expect_recovery(const RealDrive& drive) {
    const std::string steps = std::to_string(committed_step() + 3);
    const Outcome recovered = train(on(drive, steps));
    ASSERT_EQ(recovered.status, 0) << recovered.err;
    train_undisturbed({engine(), "train.steps=" + steps});
    expect_as_undisturbed();
  }
};

TEST_P(RealDriveTest, ThatFillsUpEndsTheRunAtItsLastCommitAndGoesOnWhenThereIsSpace) {
  const RealDrive drive = RealDrive::ext4(folder_, 32);
  SKIP_WITHOUT(drive);
  const std::string error = ends_when(drive, [&] { drive.fill(); });
  EXPECT_THAT(error, HasSubstr("No space left on device"));
  EXPECT_THAT(error, HasSubstr(drive / "ssd/"));
  EXPECT_GE(committed_step(), 1) << "the steps that were waited for may still have been committing";
  drive.free();
  expect_recovery(drive);
}

TEST_P(RealDriveTest, ThatGoesReadOnlyEndsTheRunAtItsLastCommit) {
  const RealDrive drive = RealDrive::ext4(folder_, 32);
  SKIP_WITHOUT(drive);
  bool refused = false;
  const std::string error = ends_when(drive, [&] { refused = !drive.make_read_only(); });
  if (refused) GTEST_SKIP() << "this kernel does not abort a file system on request";
  EXPECT_THAT(error, testing::AnyOf(HasSubstr("Read-only file system"), HasSubstr("Input/output error")));
  EXPECT_THAT(error, HasSubstr(drive / "ssd"));
  // And the next start says so before it does anything.
  const Outcome outcome = train(on(drive));
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_THAT(outcome.err, testing::AnyOf(HasSubstr("Read-only file system"), HasSubstr("Input/output error")));
}

TEST_P(RealDriveTest, ThatBreaksEndsTheRunWithOperationPathOffsetObjectAndErrno) {
  const RealDrive drive = RealDrive::ext4(folder_, 32);
  SKIP_WITHOUT(drive);
  std::jthread breaks;
  const std::string error = ends_when(drive, [&] { breaks = again_and_again([&] { drive.break_down(); }); });
  EXPECT_THAT(error, testing::AnyOf(HasSubstr("Input/output error"), HasSubstr("checksum"), HasSubstr("Read-only file system")));
  EXPECT_THAT(error, HasSubstr(drive / "ssd/"));
  EXPECT_THAT(error, testing::AnyOf(HasSubstr(" of object "), HasSubstr("manifest"), HasSubstr("sync"))) << "what was lost, or the commit";
}

TEST_P(RealDriveTest, ThatAnswersNothingButErrorsEndsTheRun) {
  const RealDrive drive = RealDrive::mapped(folder_, 32);
  SKIP_WITHOUT(drive);
  const std::string error = ends_when(drive, [&] { ASSERT_TRUE(drive.fail_everything()); });
  EXPECT_THAT(error, testing::AnyOf(HasSubstr("Input/output error"), HasSubstr("Read-only file system")));
  EXPECT_THAT(error, HasSubstr(drive / "ssd"));
}

TEST_P(RealDriveTest, AStateFileThatIsCutUnderARunIsAnErrorAndNoResumeTrustsIt) {
  const std::filesystem::path file = folder_ / "ssd/gsnake-moment1.bin";
  Process process(folder_, "cut", train_arguments({engine(), "train.steps=1000000"}, {}));
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 3));
  Outcome outcome;
  {
    const std::jthread cuts = again_and_again([&] { std::filesystem::resize_file(file, 4096); });
    outcome = process.wait();
  }
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_THAT(outcome.err, testing::AnyOf(HasSubstr("no progress: the file ends there"), HasSubstr("its checksum is")));
  EXPECT_THAT(outcome.err, HasSubstr("moment1 of object "));
  const Outcome again = train({engine(), "train.steps=1000000"});
  EXPECT_EQ(again.status, 4) << again.err;
  EXPECT_THAT(again.err, HasSubstr("moment1"));
}

TEST_P(RealDriveTest, WithSectorsOf4096BytesIsUsedDirectly) {
  const RealDrive drive = RealDrive::ext4(folder_, 32, 4096);
  SKIP_WITHOUT(drive);
  ASSERT_EQ(train(on(drive)).status, 0);
  EXPECT_TRUE(metrics().front()["io"]["direct"].get<bool>()) << metrics().front()["io"];
  train_undisturbed({engine()});
  expect_as_undisturbed();
}

TEST_P(RealDriveTest, ThatTakesNoDirectTransfersIsUsedThroughThePageCacheAndThatIsSaidOnce) {
  const RealDrive drive = RealDrive::in_memory(folder_ / "ram", "ramfs", "");
  SKIP_WITHOUT(drive);
  const Outcome outcome = train(on(drive));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json io = metrics().front()["io"];
  EXPECT_FALSE(io["direct"].get<bool>());
  EXPECT_THAT(io["buffered_reason"].get<std::string>(), HasSubstr(drive / "ssd/gsnake-weights.bin"));
  const std::size_t first = outcome.err.find("through the page cache");
  ASSERT_NE(first, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("through the page cache", first + 1), std::string::npos);
  train_undisturbed({engine()});
  expect_as_undisturbed();
}

INSTANTIATE_TEST_SUITE_P(Engines, RealDriveTest, testing::Values("threads", "io_uring"),
                         [](const auto& instance) { return std::string(instance.param) == "threads" ? "Threads" : "IoUring"; });

class DriveTest : public FaultTest {};

TEST_F(DriveTest, TooSmallForTheStateIsRefusedWithNeedAndFreeAndLeavesNothing) {
  const RealDrive drive = RealDrive::in_memory(folder_ / "small", "tmpfs", "size=1m");
  SKIP_WITHOUT(drive);
  const std::vector<std::string> before = files();
  const Outcome outcome = train({"ssd.paths=[\"" + (drive / "ssd") + "\"]"}, {"--log-level", "warn"});
  expect_one_error_line(outcome, 4, "preallocate ");
  EXPECT_THAT(outcome.err,
              testing::ContainsRegex("preallocate [0-9.]+ MiB in " + (drive / "ssd") + ": only [0-9.]+ [KM]iB are free there"));
  EXPECT_EQ(files(), before);
}

// Two drives, one of which is not there when the run goes on.
TEST_F(DriveTest, GoneAtAResumeIsRefusedWithTheObjectsItHeldAndServesAgainWhenItIsBack) {
  const RealDrive one = RealDrive::in_memory(folder_ / "one", "tmpfs", "size=32m");
  RealDrive two = RealDrive::in_memory(folder_ / "two", "tmpfs", "size=32m");
  SKIP_WITHOUT(one);
  SKIP_WITHOUT(two);
  const std::string paths = "ssd.paths=[\"" + one.path().string() + "\", \"" + two.path().string() + "\"]";
  const std::vector<std::string> changes{paths, "ssd.weights=[1, 1]", "train.steps=4"};
  ASSERT_EQ(train(changes).status, 0);
  two.unplug();
  const Outcome gone = train(changes, {"--log-level", "warn"});
  expect_one_error_line(gone, 4, two.path().string() + ": it is there, but holds no file of this run, and held ");
  EXPECT_THAT(gone.err, testing::ContainsRegex("\\(weights [0-9].*; moment1 [0-9].*; moment2 [0-9]"));
  EXPECT_THAT(gone.err, HasSubstr("(path 2 of 2); mount its drive"));
  EXPECT_TRUE(std::filesystem::is_empty(two.path())) << "nothing was made in its place";
  two.plug();
  const std::vector<std::string> more{paths, "train.steps=6"};
  const Outcome back = train(more);
  ASSERT_EQ(back.status, 0) << back.err;
  train_undisturbed({});
  expect_as_undisturbed();
}

}  // namespace
}  // namespace gsnake::test
