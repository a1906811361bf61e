// report and trace after a run.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class PageTest : public CommandTest {
 protected:
  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(PageTest, ReportWritesThePageIntoTheRun) {
  ASSERT_EQ(train({"run.trace=trace.json"}).status, 0);
  const Outcome outcome = run({"report", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "run/report.html\n");
  const std::string page = text_of("run/report.html");
  EXPECT_THAT(page, StartsWith("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("<section id=\"timeline\""));
  EXPECT_THAT(page, HasSubstr("<section id=\"loss\""));
}

TEST_F(PageTest, ReportWritesWhereItIsTold) {
  ASSERT_EQ(train().status, 0);
  EXPECT_EQ(run({"report", "run/metrics.jsonl", "--out", "page.html"}).out, "page.html\n");
  EXPECT_THAT(text_of("page.html"), StartsWith("<!doctype html>"));
  EXPECT_EQ(text_of("run/report.html"), "");
}

TEST_F(PageTest, ReportOfAPlanStandsBesideIt) {
  std::ofstream(folder_ / "plan.json") << R"({"what": "plan", "prediction": {"step_ms": 5.0}})";
  EXPECT_EQ(run({"report", "plan.json"}).out, "plan.html\n");
  EXPECT_THAT(text_of("plan.html"), StartsWith("<!doctype html>"));
}

TEST_F(PageTest, ReportNamesWhatItCannotUse) {
  std::ofstream(folder_ / "plan.json") << "{";
  expect_one_error_line(run({"report", "plan.json"}), 5, "cannot use plan.json: it is not valid JSON");
  expect_one_error_line(run({"report", "absent"}), 5, "cannot read absent");
}

TEST_F(PageTest, TraceNamesTheProcesses) {
  ASSERT_EQ(train({"run.trace=trace.json"}).status, 0);
  const Outcome outcome = run({"trace", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "run/trace_merged.json\n");
  EXPECT_EQ(Json::parse(text_of("run/trace_merged.json"))["traceEvents"][0]["args"]["name"], "measured");
}

TEST_F(PageTest, TraceNeedsATrace) {
  ASSERT_EQ(train().status, 0);
  expect_one_error_line(run({"trace", "run"}), 5, "run.trace is empty");
  expect_one_error_line(run({"trace", "absent"}), 5, "absent/metrics.jsonl");
}

}  // namespace
}  // namespace gsnake::test
