// What ranks do together, each in a process of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "dist/collective_work.h"
#include "dist/rank_processes.h"
#include "runtime/meeting.h"

namespace gsnake::dist::test {
namespace {

using testing::HasSubstr;

std::vector<std::vector<float>> results_of_threads(int count) {
  runtime::test::Meeting meeting(count);
  std::vector<std::vector<float>> results(static_cast<std::size_t>(count));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] { results[static_cast<std::size_t>(rank)] = results_of(*meeting.rank(rank), rank); });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::string bytes_of(const std::vector<float>& values) { return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}; }

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RanksTogether : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Counts, RanksTogether, testing::Values(1, 2, 3, 4), [](const auto& one) { return std::to_string(one.param); });

TEST_P(RanksTogether, GatherAndAddUpInTheOrderOfRanks) {
  RankProcesses ranks(GetParam());
  for (int rank = 0; rank < GetParam(); ++rank) ranks.start(rank, "collectives", ranks.file("results-" + std::to_string(rank)));
  const auto expected = results_of_threads(GetParam());
  for (int rank = 0; rank < GetParam(); ++rank) {
    EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
    EXPECT_TRUE(read_file(ranks.file("results-" + std::to_string(rank))) == bytes_of(expected[static_cast<std::size_t>(rank)])) << "rank " << rank << " has other bits";
  }
}

TEST_P(RanksTogether, AgreeOnThreeChannelsAtOnce) {
  RankProcesses ranks(GetParam());
  for (int rank = 0; rank < GetParam(); ++rank) ranks.start(rank, "agreements", "2000");
  for (int rank = 0; rank < GetParam(); ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
}

TEST(RanksAlone, NeedNobodyToMeet) {
  RankProcesses ranks(1);
  ranks.start(0, "share", "", {"MASTER_ADDR", "MASTER_PORT"});
  EXPECT_EQ(ranks.status(0), 0) << ranks.last_line(0);
}

}  // namespace
}  // namespace gsnake::dist::test
