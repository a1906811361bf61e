// What `gsnake bench ssd` says, on files so small that the numbers mean nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "greedysnake/error.h"
#include "io/test_support.h"
#include "ssd/command.h"
#include "ssd/fio.h"
#include "ssd/report.h"

namespace gsnake::bench {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class BenchSsd : public testing::Test {
 protected:
  SsdOptions options() const {
    SsdOptions options;
    options.directories = {directory_.path()};
    options.blocks = {"64 KiB"};
    options.depths = {4};
    options.size = "16 MiB";
    options.repeats = 1;
    return options;
  }
  static json run_json(SsdOptions options) {
    options.json = true;
    return json::parse(run_ssd(options, "the command"));
  }
  io::testing::TemporaryDirectory directory_;
};

TEST_F(BenchSsd, HoldsBothEnginesAgainstALimitInEveryMode) {
  SsdOptions some = options();
  some.ops = {"write", "mix"};
  const json report = run_json(some);
  EXPECT_EQ(report["command"], "the command");
  EXPECT_EQ(report["page_cache"], !report["direct"].get<bool>());
  EXPECT_EQ(report["bytes"], 16 << 20);
  for (const char* op : {"write", "mix"}) {
    const json& results = report["results"][op];
    ASSERT_EQ(results.size(), 3U) << op;
    EXPECT_EQ(results[0]["engine"], fio_version().empty() ? "io_uring" : "fio");
    EXPECT_EQ(results[0]["ratio"], 1.0);
    for (const json& result : results) {
      if (result.contains("refused")) continue;
      EXPECT_EQ(result["samples"].size(), 1U);
      EXPECT_GT(result["bytes_per_second"]["median"], 0.0);
      EXPECT_GE(result["cpu_seconds_per_gib"], 0.0);
      EXPECT_DOUBLE_EQ(result["ratio"].get<double>(),
                       result["bytes_per_second"]["median"].get<double>() / results[0]["bytes_per_second"]["median"].get<double>());
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

// Without fio, which takes long to start.
TEST_F(BenchSsd, TakesTheBestOfASweepAndTellsOfAllOthers) {
  const TestFiles files({directory_.path()}, 1, 16 << 20, io::DirectIo::automatic);
  Arena arena(files, 1 << 20);
  std::vector<Contestant> contestants;
  for (const unsigned depth : {1U, 2U, 4U, 8U, 16U})
    contestants.push_back({std::to_string(depth), "threads", {.block_bytes = 65536, .depth = depth}});
  contestants.push_back({"refused", "threads", {.block_bytes = 65536, .depth = 1, .engine = {.threads = 0}}});
  std::vector<std::string> told;
  const auto best = arena.best(Mode::mix, contestants, [&](const Contestant& contestant, double rate) {
    told.push_back(contestant.name);
    EXPECT_EQ(rate == 0.0, contestant.name == "refused");
  });
  ASSERT_TRUE(best);
  EXPECT_NE(best->name, "refused");
  EXPECT_EQ(told.size(), contestants.size());
}

TEST_F(BenchSsd, AMixHasTheShareOfReadsThatItIsAskedFor) {
  const TestFiles files({directory_.path()}, 1, 16 << 20, io::DirectIo::automatic);
  Arena arena(files, 1 << 20);
  EXPECT_DOUBLE_EQ(arena.measure(Mode::mix, {"a", "threads", {.block_bytes = 65536, .depth = 4, .read_share = 0.25}}).read_share, 0.25);
  EXPECT_DOUBLE_EQ(arena.measure(Mode::write, {"a", "threads", {.block_bytes = 65536, .depth = 4}}).read_share, 0.0);
}

TEST_F(BenchSsd, ShowsEachSetUpOfIoUring) {
  SsdOptions all = options();
  all.options = true;
  all.ops = {"write"};
  const std::string text = run_ssd(all, "the command");
  for (const char* part : {"the command", "DEFER_TASKRUN", "COOP_TASKRUN", "SQPOLL", "buffers unregistered", "page cache", "CPU s/GiB"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST_F(BenchSsd, MeasuresStripesOverSeveralFilesAndThroughThePageCache) {
  SsdOptions striped = options();
  striped.directories.push_back(directory_.file("second"));
  std::filesystem::create_directory(striped.directories.back());
  striped.stripe = "16 KiB";
  striped.size = "32 MiB";
  striped.buffered = true;
  striped.ops = {"mix"};
  const json report = run_json(striped);
  EXPECT_EQ(report["files"], 2);
  EXPECT_EQ(report["page_cache"], true);
  EXPECT_EQ(report["buffered_reason"], "asked for");
  EXPECT_THAT(report["limit"].get<std::string>(), HasSubstr("io_uring with whole blocks"));
  EXPECT_EQ(report["results"]["mix"][1]["stripe_bytes"], 16 << 10);
}

TEST_F(BenchSsd, RefusesBlocksThatCantBeTransferred) {
  for (const char* block : {"1000 B", "0 B", "lots"}) {
    SsdOptions odd = options();
    odd.blocks = {block};
    EXPECT_THROW(static_cast<void>(run_ssd(odd, "")), Error) << block;
  }
  SsdOptions large = options();
  large.blocks = {"1 GiB"};
  EXPECT_THROW(static_cast<void>(run_ssd(large, "")), Error);
}

TEST(TestFiles, AreWhollyWrittenAndLeaveNothingIfTheProcessIsKilled) {
  const io::testing::TemporaryDirectory directory;
  const TestFiles files({directory.path()}, 2, 20 << 20, io::DirectIo::off);
  EXPECT_EQ(files.total_bytes(), 32U << 20);
  for (const io::File& file : files.files()) {
    struct stat status {};
    ASSERT_EQ(::fstat(file.fd(), &status), 0);
    EXPECT_EQ(status.st_size, 16 << 20);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << "they have no names";
}

}  // namespace
}  // namespace gsnake::bench
