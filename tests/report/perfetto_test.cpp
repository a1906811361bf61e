#include "report/perfetto.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "sample.h"
#include "temporary_folder.h"

namespace gsnake::report {
namespace {

using namespace test;
using gsnake::test::TemporaryFolder;

std::vector<Json> of_process(const Json& merged, int process, const char* kind) {
  std::vector<Json> events;
  for (const Json& event : merged["traceEvents"]) {
    if (event["pid"] == process && event["ph"] == kind) events.push_back(event);
  }
  return events;
}

bool has_metadata(const Json& merged, int process, const char* what, const char* name) {
  const std::vector<Json> events = of_process(merged, process, "M");
  return std::any_of(events.begin(), events.end(),
                     [&](const Json& event) { return event["name"] == what && event["args"].value("name", Json()) == name; });
}

TEST(MergedTrace, HasBothProcessesAlignedAtTheirCommonStep) {
  const TemporaryFolder folder;
  folder.write("trace.json", trace().dump());
  const Json merged = merged_trace(folder / "trace.json", timeline());
  EXPECT_TRUE(has_metadata(merged, 1, "process_name", "measured"));
  EXPECT_TRUE(has_metadata(merged, 2, "process_name", "predicted"));
  EXPECT_TRUE(has_metadata(merged, 1, "thread_name", "compute"));
  EXPECT_TRUE(has_metadata(merged, 2, "thread_name", "compute"));
  EXPECT_TRUE(has_metadata(merged, 2, "thread_name", "ssd_read"));
  EXPECT_EQ(of_process(merged, 1, "X").size(), 3U);
  const std::vector<Json> predicted = of_process(merged, 2, "X");
  ASSERT_EQ(predicted.size(), 4U);
  EXPECT_EQ(predicted[3]["args"]["step"], 6);
  EXPECT_DOUBLE_EQ(predicted[3]["ts"].get<double>(), 3e3);  // as step 6's measured compute
  EXPECT_DOUBLE_EQ(predicted[3]["dur"].get<double>(), 80e3);
  EXPECT_EQ(predicted[3]["tid"], 0);
  EXPECT_EQ(predicted[2]["tid"], 301);  // ssd_read's number in the trace, and row 1
}

TEST(MergedTrace, IsMeasuredAloneWithoutAPrediction) {
  const TemporaryFolder folder;
  folder.write("trace.json", trace().dump());
  const Json merged = merged_trace(folder / "trace.json", nullptr);
  EXPECT_EQ(of_process(merged, 1, "X").size(), 3U);
  EXPECT_TRUE(of_process(merged, 2, "X").empty());
  EXPECT_TRUE(of_process(merged, 2, "M").empty());
}

TEST(MergedTrace, OfAMergedTraceIsTheSame) {
  const TemporaryFolder folder;
  folder.write("trace.json", trace().dump());
  const Json once = merged_trace(folder / "trace.json", timeline());
  folder.write("merged.json", once.dump());
  EXPECT_EQ(merged_trace(folder / "merged.json", timeline()), once);
}

TEST(MergedTrace, GivesANewLaneANumberOfItsOwn) {
  const TemporaryFolder folder;
  folder.write("trace.json", trace().dump());
  Json other = timeline();
  other[0]["lane"] = "commit";
  const std::vector<Json> predicted = of_process(merged_trace(folder / "trace.json", other), 2, "X");
  EXPECT_EQ(predicted[0]["tid"], 400);
}

TEST(MergedTrace, RefusesWhatIsNoTraceByItsName) {
  const TemporaryFolder folder;
  folder.write("trace.json", "{}");
  for (const std::string& path : {folder / "trace.json", folder / "absent.json"}) {
    try {
      static_cast<void>(merged_trace(path, nullptr));
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace gsnake::report
