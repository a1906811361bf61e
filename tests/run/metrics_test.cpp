#include "run/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "greedysnake/error.h"
#include "greedysnake/results.h"
#include "run/machine.h"
#include "run/progress_line.h"

namespace gsnake::run {
namespace {

StepResult example_step() { return {7, 2.718281828459045, 0.5, 1e-3, 65536.0, true, false, 4096, 250.0, 16384.0, {}}; }

Traffic example_traffic() {
  Traffic traffic;
  traffic.ssd_read_bytes = 1000;
  traffic.ssd_write_bytes = 500;
  traffic.busy_ms = {225.0, 0.0, 0.0, 50.0, 300.0, 0.5, 0.0};
  return traffic;
}

TEST(NineDigits, TellFloatsApartAndSayNoMore) {
  EXPECT_EQ(nine_digits(2.718281828459045).dump(), "2.71828183");
  const float close = std::nextafter(5.0F, 6.0F);
  EXPECT_NE(nine_digits(close).dump(), nine_digits(5.0).dump());
  EXPECT_EQ(static_cast<float>(nine_digits(close).get<double>()), close);
}

TEST(NineDigits, AreNullWhereJsonHasNoNumber) {
  EXPECT_TRUE(nine_digits(std::numeric_limits<double>::quiet_NaN()).is_null());
  EXPECT_TRUE(nine_digits(std::numeric_limits<double>::infinity()).is_null());
}

TEST(StepLine, HoldsBusyTimeByTheLanesNames) {
  const Json line = step_line(example_step(), example_traffic(), {}, {});
  ASSERT_EQ(line["lanes"].size(), static_cast<std::size_t>(kLanes));
  EXPECT_EQ(line["lanes"]["compute"], 225.0);
  EXPECT_EQ(line["lanes"]["ssd_write"], 300.0);
}

TEST(StepLine, HasAValidationLossOnlyWhereThereIsOne) {
  EXPECT_FALSE(step_line(example_step(), {}, {}, {}).contains("validation_loss"));
  EXPECT_EQ(step_line(example_step(), {}, {}, {1.25, 0, 0})["validation_loss"], 1.25);
}

TEST(StepLine, HasRewardsOnlyOfPreferencePairs) {
  const Json without = step_line(example_step(), {}, {}, {1.25, 0, 0});
  StepResult pairs = example_step();
  pairs.rewards = {0.5, -0.25, 2.0 / 3.0, 0.75};
  const Json with = step_line(pairs, {}, {}, {1.25, 0, 0, Rewards{0.125, 0.375, 0.0, std::numeric_limits<double>::quiet_NaN()}});
  const std::vector<std::pair<std::string, Json>> expected{{"reward_chosen", 0.5}, {"reward_rejected", -0.25}, {"reward_accuracy", 0.666666667}, {"reward_margin", 0.75},
                                                           {"validation_reward_chosen", 0.125}, {"validation_reward_rejected", 0.375}, {"validation_reward_accuracy", 0.0},
                                                           {"validation_reward_margin", nullptr}};
  EXPECT_EQ(with.size(), without.size() + expected.size());
  for (const auto& [key, value] : expected) {
    EXPECT_FALSE(without.contains(key)) << key;
    EXPECT_EQ(with.at(key), value) << key;
  }
}

class MetricsFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-metrics-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = (folder_ / "metrics.jsonl").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(MetricsFileTest, EachLineIsThereAtOnce) {
  MetricsFile file(path_, MetricsFile::Mode::fresh);
  EXPECT_TRUE(file.empty());
  file.write({{"step", 1}});
  EXPECT_EQ(content(), "{\"step\":1}\n");
  file.write({{"step", 2}});
  EXPECT_EQ(content(), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(MetricsFileTest, FreshEmptiesAndAppendKeeps) {
  std::ofstream(path_) << "{\"step\":1}\n";
  EXPECT_FALSE(MetricsFile(path_, MetricsFile::Mode::append).empty());
  EXPECT_EQ(content(), "{\"step\":1}\n");
  EXPECT_TRUE(MetricsFile(path_, MetricsFile::Mode::fresh).empty());
  EXPECT_EQ(content(), "");
}

TEST_F(MetricsFileTest, AppendEndsATornLine) {
  std::ofstream(path_) << "{\"step\":1}\n{\"st";
  MetricsFile(path_, MetricsFile::Mode::append).write({{"step", 2}});
  EXPECT_EQ(content(), "{\"step\":1}\n{\"st\n{\"step\":2}\n");
}

TEST_F(MetricsFileTest, TextThatIsNotUtf8DoesNotEndARun) {
  MetricsFile(path_, MetricsFile::Mode::fresh).write({{"path", "caf\xe9"}});
  EXPECT_EQ(content(), "{\"path\":\"caf\xef\xbf\xbd\"}\n");
}

TEST_F(MetricsFileTest, NamesTheFileThatCannotBeMade) {
  try {
    MetricsFile(folder_ / "absent" / "metrics.jsonl", MetricsFile::Mode::fresh);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_NE(std::string(error.what()).find("absent/metrics.jsonl"), std::string::npos);
  }
}

TEST_F(MetricsFileTest, AFullDriveIsAStorageError) {
  MetricsFile file("/dev/full", MetricsFile::Mode::append);
  EXPECT_THROW(file.write({{"step", 1}}), Error);
}

TEST(MachineFacts, AreRead) {
  EXPECT_GE(this_machine().cores, 1U);
  EXPECT_GT(this_machine().memory_bytes, 0U);
  EXPECT_GT(peak_rss_bytes(), 0U);
}

TEST(ProgressText, ShowsTheStepItsLossRateAndTheLanesThatHadWork) {
  EXPECT_EQ(progress_text(example_step(), example_traffic(), 400, std::nullopt, 98.0, {}),
            "step 7/400  loss 2.7183  16.4k tokens/s  compute 90% ssd_read 20% ssd_write 100%  1:38 left");
}

TEST(ProgressText, ShowsAValidationLossBesideTheLoss) {
  EXPECT_NE(progress_text(example_step(), {}, 400, 1.5, 0.0, {}).find("loss 2.7183 (validation 1.5000)"), std::string::npos);
}

TEST(ProgressText, ShowsAccuracyAndMarginOfPreferencePairs) {
  StepResult pairs = example_step();
  pairs.rewards = {0.5, -0.25, 0.625, 0.75};
  EXPECT_EQ(progress_text(pairs, example_traffic(), 400, std::nullopt, 98.0, {}),
            "step 7/400  loss 2.7183  accuracy 0.62 margin 0.7500  16.4k tokens/s  compute 90% ssd_read 20% ssd_write 100%  1:38 left");
}

TEST(ProgressText, WritesDurationsAndCountsShort) {
  EXPECT_EQ(format_duration(-1.0), "0 s");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(12000.0), "3:20:00");
  EXPECT_EQ(format_count(850.0), "850");
  EXPECT_EQ(format_count(999.7), "1.00k");
  EXPECT_EQ(format_count(12345.0), "12.3k");
  EXPECT_EQ(format_count(1.2e6), "1.20M");
}

TEST(StartText, ShowsMemoryByTier) {
  RunReport report;
  report.host_bytes = 3 << 20;
  report.memory = {{"host", "slots", 3 << 20, "3 of 1 MiB"}, {"device", "gradients", 1 << 20, ""}};
  const Config config;
  const std::vector<std::string> lines = start_text(config, report);
  const auto line_with = [&](const std::string& part) {
    return std::find_if(lines.begin(), lines.end(), [&](const std::string& line) { return line.find(part) != std::string::npos; });
  };
  ASSERT_NE(line_with("host memory: 3.00 MiB of 4.00 GiB"), lines.end());
  EXPECT_LT(line_with("3 of 1 MiB"), line_with("device memory"));
  EXPECT_GT(line_with("gradients"), line_with("device memory"));
}

}  // namespace
}  // namespace gsnake::run
