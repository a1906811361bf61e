// A whole measurement, with so little of everything that the numbers mean nothing.
#include "measure/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "greedysnake/error.h"
#include "temporary_folder.h"

namespace gsnake::measure {
namespace {

using testing::Contains;
using testing::HasSubstr;

class MeasureMachine : public testing::Test {
 protected:
  [[nodiscard]] MeasureRequest request() const {
    MeasureRequest request;
    request.ssd_paths = {folder_.path()};
    request.engine = EngineChoice::threads;
    request.block_bytes = 64 << 10;
    request.file_bytes = 16 << 20;
    request.memory_bytes = 4 << 20;
    request.optimizer_threads = 1;
    request.compute_threads = 1;
    request.seconds = 0.1;
    return request;
  }
  [[nodiscard]] bool nothing_is_left() const { return std::filesystem::is_empty(folder_.path()); }

  const test::TemporaryFolder folder_;
};

void expect_measured(double value, const char* what) {
  EXPECT_TRUE(std::isfinite(value)) << what;
  EXPECT_GT(value, 0.0) << what;
}

void expect_curve(const sim::RateCurve& curve) {
  ASSERT_FALSE(curve.empty());
  EXPECT_EQ(curve.front().in_flight, 1.0);
  for (std::size_t i = 0; i < curve.size(); ++i) {
    expect_measured(curve[i].per_second, "a point of a curve");
    if (i > 0) {
      EXPECT_GT(curve[i].in_flight, curve[i - 1].in_flight);
    }
  }
}

TEST_F(MeasureMachine, FindsRatesOfAllLanesThatAFileKeepsAndLeavesNothing) {
  std::vector<std::string> parts;
  MeasureRequest told = request();
  told.progress = [&](const std::string& what) { parts.push_back(what); };
  const sim::MachineProfile profile = measure_machine(told).profile;
  EXPECT_THAT(parts, Contains("reads of " + folder_.path()));
  EXPECT_THAT(parts, Contains("updates of bf16 weights"));
  EXPECT_EQ(profile.key.size(), 16U);
  EXPECT_GE(profile.cpu.cores, 0.01);
  expect_measured(profile.cpu.dram, "memory's bandwidth");
  expect_measured(static_cast<double>(profile.cpu.memory), "memory");
  ASSERT_EQ(profile.ssds.size(), 1U);
  EXPECT_EQ(profile.ssds[0].path, folder_.path());
  expect_curve(profile.ssds[0].read);
  expect_curve(profile.ssds[0].write);
  EXPECT_GE(profile.ssds[0].both, 1.0);
  EXPECT_LE(profile.ssds[0].both, 2.0);
  expect_measured(profile.ssd_share.cores, "processors of the drives' lanes");
  EXPECT_EQ(profile.ssd_share.dram, 2.0);
  expect_measured(profile.commit_latency, "a commit");
  EXPECT_LE(profile.commit_waits, sim::kMostCommitWaits) << "which a file may hold";
  for (const sim::CopyProfile& copies : {profile.h2d, profile.d2h}) {
    expect_measured(copies.per_second, "copies");
    expect_measured(copies.latency, "a copy");
    expect_measured(copies.share.cores, "processors of copies");
    EXPECT_EQ(copies.share.dram, 2.0);
  }
  ASSERT_EQ(profile.optimizer.rates.size(), 3U);
  for (const sim::OptimizerRate& rate : profile.optimizer.rates) expect_measured(rate.per_second, "updates");
  EXPECT_EQ(profile.optimizer.threads, 1);
  EXPECT_EQ(profile.optimizer.share.cores, 1.0);
  EXPECT_THAT(profile.source, HasSubstr("measured on 20"));
  EXPECT_EQ(sim::to_toml(sim::parse_profile(sim::to_toml(profile), "text")), sim::to_toml(profile));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(MeasureMachine, SeesWhatComputingAndOtherWorkTakeFromOneAnother) {
  std::atomic<int> calls{0};
  MeasureRequest some = request();
  some.compute = [&calls] {
    volatile double sum = 0.0;
    for (int i = 0; i < 20000; ++i) sum = sum + i;
    ++calls;
  };
  const Measurement measured = measure_machine(some);
  EXPECT_GT(calls, 6);
  ASSERT_EQ(measured.contention.size(), 3U);
  for (const FittedPair& pair : measured.contention) {
    for (const Pair& one : {pair.measured, pair.modelled}) {
      expect_measured(one.compute, name_of(one.partner));
      expect_measured(one.other, name_of(one.partner));
      EXPECT_LE(one.compute, 1.0);
      EXPECT_LE(one.other, 1.0 + 1e-9);
    }
  }
  expect_measured(measured.profile.compute.share.cores, "processors of computing");
  EXPECT_LE(measured.profile.compute.share.cores, 1.0);
  EXPECT_GE(measured.profile.compute.share.dram, 0.0);
}

TEST_F(MeasureMachine, MeasuresSeveralDrivesTogether) {
  std::filesystem::create_directory(folder_ / "other");
  MeasureRequest two = request();
  two.ssd_paths = {folder_.path(), folder_ / "other"};
  const sim::MachineProfile profile = measure_machine(two).profile;
  ASSERT_EQ(profile.ssds.size(), 2U);
  expect_curve(profile.ssds[1].read);
  expect_curve(profile.drives().write);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "other"));
}

TEST_F(MeasureMachine, NeedsNoDrive) {
  MeasureRequest none = request();
  none.ssd_paths.clear();
  const sim::MachineProfile profile = measure_machine(none).profile;
  EXPECT_TRUE(profile.ssds.empty());
  EXPECT_EQ(profile.commit_latency, 0.0);
  expect_measured(profile.cpu.dram, "memory's bandwidth");
}

TEST_F(MeasureMachine, EndsWithWhatItsProgressThrowsAndLeavesNothing) {
  MeasureRequest told = request();
  told.seconds = 0.05;
  told.compute = [] { ::usleep(100); };
  for (const std::string& part : {std::string("preparing files"), "writes to " + folder_.path(), std::string("copies"), std::string("computing beside drives")}) {
    bool reached = false;
    told.progress = [&](const std::string& what) {
      reached = what == part;
      if (reached) throw std::runtime_error("enough");
    };
    EXPECT_THROW(static_cast<void>(measure_machine(told)), std::runtime_error) << part;
    EXPECT_TRUE(reached) << part;
    EXPECT_TRUE(nothing_is_left()) << part;
  }
}

TEST_F(MeasureMachine, EndsWithWhatComputingThrows) {
  MeasureRequest failing = request();
  failing.compute = [] { throw std::runtime_error("no such unit"); };
  EXPECT_THROW(static_cast<void>(measure_machine(failing)), std::runtime_error);
  EXPECT_TRUE(nothing_is_left());
}

std::string refusal(const MeasureRequest& request, ErrorKind kind) {
  try {
    static_cast<void>(measure_machine(request));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "accepted";
}

TEST_F(MeasureMachine, RefusesAFolderThatItMayNotWriteTo) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0500), 0);
  EXPECT_THAT(refusal(request(), ErrorKind::storage), HasSubstr(folder_.path()));
}

// Where nobody may write, root either.
TEST_F(MeasureMachine, RefusesAFolderInWhichNoFileCanBeMade) {
  MeasureRequest some = request();
  some.ssd_paths = {"/proc/self"};
  EXPECT_THAT(refusal(some, ErrorKind::storage), HasSubstr("/proc/self"));
}

TEST_F(MeasureMachine, RefusesBlocksAndTimesThatAreNone) {
  MeasureRequest some = request();
  some.block_bytes = 1000;
  EXPECT_THAT(refusal(some, ErrorKind::usage), HasSubstr("1000 bytes"));
  some = request();
  some.seconds = 61;
  EXPECT_THAT(refusal(some, ErrorKind::usage), HasSubstr("61 seconds"));
}

}  // namespace
}  // namespace gsnake::measure
