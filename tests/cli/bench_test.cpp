// gsnake bench, as far as it is a command; tests/bench has what it measures.
#include <gmock/gmock.h>

#include "cli/command.h"

namespace gsnake::test {
namespace {

class BenchTest : public CommandTest {};

TEST_F(BenchTest, SsdPrintsJsonAndItsOwnCommandLine) {
  const Outcome outcome = run({"bench", "ssd", ".", "--size", "16 MiB", "--block", "64 KiB", "--depth", "4", "--repeats", "1", "--op", "read", "--json"});
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

}  // namespace
}  // namespace gsnake::test
