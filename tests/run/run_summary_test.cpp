#include "run/run_summary.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "greedysnake/error.h"
#include "run/loss_plot.h"

namespace gsnake::run {
namespace {

Json start() {
  return {{"event", "start"},
          {"config", {{"memory", {{"host_budget", 200}, {"device_budget", "1 KiB"}}}}},
          {"base_bytes", 50},
          {"in_memory_bytes", 9000},
          {"formula_ssd_read_bytes", 100},
          {"formula_ssd_write_bytes", 80}};
}

Json step(int number, double loss, int read_bytes = 100) {
  return {{"step", number},
          {"loss", loss},
          {"step_ms", 10.0},
          {"tokens_per_second", 1000.0},
          {"ssd_read_bytes", read_bytes},
          {"ssd_write_bytes", 80},
          {"rss_peak_bytes", 300 + number},
          {"lanes", {{"compute", 5.0}, {"ssd_read", 20.0}}}};
}

class RunSummaryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-summary-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  RunHistory history(const std::vector<Json>& lines, const std::string& rest = "") {
    std::ofstream file(folder_ / "metrics.jsonl");
    for (const Json& line : lines) file << line << '\n';
    file << rest;
    file.close();
    return read_history(folder_.string());
  }
  std::filesystem::path folder_;
};

TEST_F(RunSummaryTest, MediansLeaveOutStepsWhoseIntervalHoldsMore) {
  Json validated = step(4, 4.0, 9000);
  validated["validation_loss"] = 4.5;
  const RunSummary summary =
      summarize(history({start(), step(1, 7, 5000), step(2, 6), step(3, 5), validated, step(5, 3.5, 7000), step(6, 3), step(7, 2, 8000)}));
  EXPECT_EQ(summary.steady_steps, 3U);
  EXPECT_EQ(summary.ssd_read_bytes, 100.0);
  EXPECT_EQ(summary.validation_loss, 4.5);
  EXPECT_EQ(summary.first_loss, 7.0);
  EXPECT_EQ(summary.last_loss, 2.0);
}

TEST_F(RunSummaryTest, BudgetsBaseAndPeakAreTheRuns) {
  const RunSummary summary = summarize(history({start(), step(1, 7), step(2, 6)}));
  EXPECT_EQ(summary.host_budget, 200.0);
  EXPECT_EQ(summary.device_budget, 1024.0);
  EXPECT_EQ(summary.base_bytes, 50.0);
  EXPECT_EQ(summary.in_memory_bytes, 9000.0);
  EXPECT_EQ(summary.rss_peak_bytes, 302.0);
}

TEST_F(RunSummaryTest, ALaneIsNeverBusierThanAlways) {
  const RunSummary summary = summarize(history({start(), step(1, 7), step(2, 6), step(3, 5), step(4, 4)}));
  EXPECT_DOUBLE_EQ(summary.lane_shares.at("compute"), 0.5);
  EXPECT_DOUBLE_EQ(summary.lane_shares.at("ssd_read"), 1.0);
}

TEST_F(RunSummaryTest, WhatAResumeRepeatsSupersedesTheLinesBefore) {
  const RunHistory run = history({start(), step(1, 7), step(2, 6), step(3, 5), {{"event", "resume"}, {"step", 1}}, step(2, 6.5)});
  ASSERT_EQ(run.steps.size(), 2U);
  EXPECT_EQ(run.steps[1].loss, 6.5);
  EXPECT_TRUE(run.steps[1].first_of_process);
}

TEST_F(RunSummaryTest, ATornLineIsPassedOver) {
  const RunHistory run = history({start(), step(1, 7)}, "{\"step\": 2, \"lo");
  EXPECT_EQ(run.steps.size(), 1U);
  EXPECT_EQ(run.unreadable_lines, 1U);
  EXPECT_FALSE(run.end.has_value());
}

TEST_F(RunSummaryTest, ALossThatWasNotFiniteIsKeptAsSuch) {
  Json broken = step(2, 0.0);
  broken["loss"] = nullptr;
  const RunHistory run = history({start(), step(1, 7), broken});
  EXPECT_TRUE(std::isnan(run.steps[1].loss));
  EXPECT_TRUE(to_json(summarize(run))["last_loss"].is_null());
}

TEST_F(RunSummaryTest, TextShowsRatiosToTheFormulas) {
  const RunHistory run = history({start(), step(1, 7), step(2, 6), step(3, 5, 100), step(4, 4)});
  const std::string text = to_text(summarize(run), run);
  EXPECT_NE(text.find("1.000 x the formula's 100 B"), std::string::npos) << text;
  EXPECT_NE(text.find("step 4: loss 4.0000 (from 7.0000)"), std::string::npos) << text;
}

TEST_F(RunSummaryTest, ARunWithoutStepsHasASummary) {
  const RunHistory run = history({start()});
  EXPECT_EQ(summarize(run).last_step, 0);
  EXPECT_FALSE(to_text(summarize(run), run).empty());
}

TEST_F(RunSummaryTest, AFileThatIsNoRunsIsRefused) {
  const auto kind_of = [&](const std::string& path) {
    try {
      read_history(path);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::usage;
  };
  std::ofstream(folder_ / "notes.txt") << "not metrics\n";
  EXPECT_EQ(kind_of((folder_ / "notes.txt").string()), ErrorKind::input);
  EXPECT_EQ(kind_of((folder_ / "absent").string()), ErrorKind::input);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(LossPlot, ScaleSpansWhatIsDrawn) {
  const std::string plot = draw_plot({{1, 5.5}, {2, 4.0}, {100, 1.25}}, {{100, 1.0}}, {20, 5});
  EXPECT_EQ(std::count(plot.begin(), plot.end(), '\n'), 6);
  EXPECT_NE(plot.find("5.500"), std::string::npos);
  EXPECT_NE(plot.find("1.000"), std::string::npos);
  EXPECT_NE(plot.find("100"), std::string::npos);
  EXPECT_EQ(count(plot, "◆"), 1U);
}

TEST(LossPlot, AFallingCurveGoesFromTopLeftToBottomRight) {
  const std::string plot = draw_plot({{0, 1.0}, {1, 0.0}}, {}, {2, 2});
  // A diagonal of 4 x 8 dots in four characters: nothing of it lies top right.
  EXPECT_EQ(count(plot, "⠀"), 1U) << plot;
  const std::string top = plot.substr(0, plot.find('\n'));
  EXPECT_EQ(top.substr(top.size() - 3), "⠀") << plot;
}

TEST(LossPlot, ValuesThatAreNotFiniteAreLeftOut) {
  EXPECT_EQ(draw_plot({{1, std::nan("")}}, {}), "");
  EXPECT_NE(draw_plot({{1, 2.0}, {2, std::nan("")}}, {}), "");
}

}  // namespace
}  // namespace gsnake::run
