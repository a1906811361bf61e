// gsnake bench, as far as it is a command; tests/bench has what it measures.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "cli/command.h"
#include "core/unique_fd.h"

namespace gsnake::test {
namespace {

class BenchTest : public CommandTest {};

TEST_F(BenchTest, SsdPrintsJsonAndItsOwnCommandLine) {
  const Outcome outcome =
      run({"bench", "ssd", ".", "--size", "16 MiB", "--block", "64 KiB", "--depth", "4", "--repeats", "1", "--op", "read", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_THAT(report["command"].get<std::string>(), testing::StartsWith("gsnake bench ssd . --size"));
  EXPECT_EQ(report["results"]["read"].size(), 3U);
}

TEST_F(BenchTest, NeedsToKnowWhatToMeasure) {
  EXPECT_EQ(run({"bench"}).status, 2);
  expect_one_error_line(run({"bench", "ssd"}), 2, "DIR");
  expect_one_error_line(run({"bench", "ssd", "absent"}), 4, "absent");
}

TEST_F(BenchTest, ZeroInfinityRefusesBeforeAnythingRuns) {
  expect_one_error_line(run({"bench", "zero-infinity", "--environment", "absent"}), 2, "benchmarks/zero_infinity/setup");
  std::ofstream(folder_ / "ready.txt") << "";
  expect_one_error_line(run({"bench", "zero-infinity", "--environment", ".", "--folder", "missing"}), 2, "missing");
  expect_one_error_line(run({"bench", "zero-infinity", "--environment", ".", "--folder", "/proc", "--rate", "200MB"}), 2, "--rate");
  const std::vector<std::vector<std::string>> wrong = {{"--rate", "fast"},   {"--rate", "0"},     {"--micro-batches", "2,x"}, {"--turns", "0"},
                                                       {"--steps", "0"},     {"--layers", "-1"},  {"--hidden", "800"},        {"--threads", "100000"},
                                                       {"--device", "tpu"},  {"--limit", "1MiB"}, {"--deepspeed", "depth=1"}, {"memory", "--turns", "2"},
                                                       {"sweep", "--micro-batches", "1,2"}, {"--ranks", "0"}, {"--ranks", "100000"}, {"memory", "--ranks", "2"}};
  for (const std::vector<std::string>& words : wrong) {
    std::vector<std::string> call{"bench", "zero-infinity"};
    call.insert(call.end(), words.begin(), words.end());
    expect_one_error_line(run(call), 2, words[words.size() - 2]);
  }
}

std::size_t deepspeed_buffers() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) count += entry.path().filename().string().starts_with("deepspeed_") ? 1 : 0;
  return count;
}

// The short form: a tiny model, one turn.
class ZeroInfinityTest : public BenchTest {
 protected:
  void SetUp() override {
    BenchTest::SetUp();
    if (!std::filesystem::exists(environment_ / "ready.txt")) {
      GTEST_SKIP() << "DeepSpeed's environment is not there; benchmarks/zero_infinity/setup makes it";
    }
    // DeepSpeed builds its extensions in one folder for all, and counts its buffers in one /dev/shm.
    turn_ = core::UniqueFd(::open((environment_ / "tests.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::flock(turn_.get(), LOCK_EX), 0);
  }

  Json compare(const std::vector<std::string>& options) {
    const std::size_t shared_memory_before = deepspeed_buffers();
    std::vector<std::string> call{"bench", "zero-infinity", "--environment", environment_, "--turns", "1", "--steps", "2", "--json"};
    call.insert(call.end(), options.begin(), options.end());
    const Outcome outcome = run(call);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_LE(deepspeed_buffers(), shared_memory_before);  // 66 MiB of memory each
    return outcome.status == 0 ? Json::parse(outcome.out) : Json();
  }

 private:
  const std::filesystem::path environment_ = GSNAKE_SOURCE_DIR "/.deps/deepspeed";
  core::UniqueFd turn_;
};

// Where both compute the same, the bytes that the kernel counts follow.
void expect_same_work(const Json& report) {
  EXPECT_LE(report["losses"]["first_difference"], report["losses"]["first_tolerance"]);
  EXPECT_LE(report["losses"]["largest_difference"], report["losses"]["tolerance"]);
  EXPECT_EQ(report["losses"]["optimizer"], "DeepSpeedCPUAdam");
  EXPECT_LT(report["losses"]["largest_difference"], 0.5 * report["losses"]["difference_without_learning"].get<double>());
  const Json& row = report["rows"][0];
  // gsnake moves a part of each step before or after it.
  const std::map<std::string, double> tolerance = {{"deepspeed", 0.03}, {"gsnake", 0.1}};
  for (const auto& [program, share] : tolerance) {
    EXPECT_GT(row[program]["step_seconds"]["median"], 0.0) << program;
    for (const char* way : {"read", "written"}) {
      const double formula = row["formula_bytes_per_parameter"][program][way];
      EXPECT_NEAR(row[program][std::string(way) + "_bytes_per_parameter"], formula, share * formula) << program << " " << way;
    }
  }
}

TEST_F(ZeroInfinityTest, MeasuresBothProgramsOnTheSameWork) {
  const Json report = compare({"--layers", "3", "--micro-batches", "2", "--threads", "1"});
  if (!report.is_null()) expect_same_work(report);
}

TEST_F(ZeroInfinityTest, MeasuresTheSameWorkOnTwoRanks) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "a rank computes on a core of its own or more, and this machine has one core";
  const Json report = compare({"--ranks", "2", "--layers", "2", "--micro-batches", "4", "--threads", "2"});
  if (report.is_null()) return;
  expect_same_work(report);
  const Json& row = report["rows"][0];
  // Of few steps: a part of one's bytes moves before or after its line.
  for (const char* program : {"deepspeed", "gsnake"}) {
    for (const char* way : {"read", "written"}) {
      const Json& moved = row[program][std::string(way) + "_bytes_a_rank"];
      const double formula = row["formula_bytes_a_rank"][program][way];
      EXPECT_NEAR(moved["low"], formula, 0.2 * formula) << program << " " << way;
      EXPECT_NEAR(moved["high"], formula, 0.2 * formula) << program << " " << way;
    }
  }
}

}  // namespace
}  // namespace gsnake::test
