#include "data/batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BatchStreamTest : public test::TempFiles {
 protected:
  // Tokens 0, 1, 2, ...: a window's first token tells which one it is.
  BatchStream counting(int tokens_in_all, BatchShape shape, WindowOrder order, std::uint64_t seed = 1) {
    std::vector<int> ids(static_cast<std::size_t>(tokens_in_all));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i);
    const auto path = tokens("count" + std::to_string(tokens_in_all) + ".bin", ids);
    return {TokenSource({path}, 65536, -1, Access::random), shape, order, seed};
  }

  static std::vector<std::int64_t> first_tokens(BatchStream& stream, int batches) {
    std::vector<std::int64_t> firsts;
    Batch batch;
    for (int b = 0; b < batches; ++b) {
      stream.next(batch);
      firsts.push_back(batch.inputs.front());
    }
    return firsts;
  }
};

TEST_F(BatchStreamTest, SequentialWindowsFillRowsThenMicroBatchesThenSteps) {
  auto stream = counting(100, {.micro_batches = 2, .rows = 2, .sequence_length = 3}, WindowOrder::sequential);
  Batch batch;
  stream.next(batch);
  EXPECT_THAT(batch.inputs, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(batch.labels, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)) << "the last label is the next window's first input";
  stream.next(batch);
  EXPECT_EQ(batch.inputs.front(), 12);
  EXPECT_EQ(stream.cursor(), 8u);
}

TEST_F(BatchStreamTest, TokensThatFillNoWindowAreLeftOut) {
  EXPECT_EQ(counting(10, {1, 1, 3}, WindowOrder::sequential).windows(), 3u) << "3 windows need 10 tokens: the last label is the tenth";
  EXPECT_EQ(counting(9, {1, 1, 3}, WindowOrder::sequential).windows(), 2u);
  EXPECT_EQ(counting(4, {1, 1, 3}, WindowOrder::sequential).windows(), 1u);
}

TEST_F(BatchStreamTest, SequentialDataThatEndsStartsOverInTheMiddleOfABatch) {
  auto stream = counting(10, {.micro_batches = 2, .rows = 1, .sequence_length = 3}, WindowOrder::sequential);
  Batch batch;
  stream.next(batch);
  stream.next(batch);
  EXPECT_THAT(batch.inputs, ElementsAre(6, 7, 8, 0, 1, 2));
  EXPECT_THAT(batch.labels, ElementsAre(7, 8, 9, 1, 2, 3));
}

TEST_F(BatchStreamTest, ShuffledPassHasEveryWindowOnceAndThenAnotherOrder) {
  auto stream = counting(401, {1, 1, 4}, WindowOrder::shuffled);
  const auto first = first_tokens(stream, 100);
  const auto second = first_tokens(stream, 100);
  EXPECT_EQ(std::set<std::int64_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_EQ(std::set<std::int64_t>(second.begin(), second.end()).size(), 100u);
  EXPECT_NE(first, second);
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
}

TEST_F(BatchStreamTest, ShuffledLabelsFollowTheirOwnInputs) {
  auto stream = counting(401, {.micro_batches = 3, .rows = 2, .sequence_length = 4}, WindowOrder::shuffled);
  Batch batch;
  stream.next(batch);
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) EXPECT_EQ(batch.labels[i], batch.inputs[i] + 1);
}

TEST_F(BatchStreamTest, SeedDecidesTheOrder) {
  auto one = counting(401, {1, 1, 4}, WindowOrder::shuffled, 1);
  auto same = counting(401, {1, 1, 4}, WindowOrder::shuffled, 1);
  auto other = counting(401, {1, 1, 4}, WindowOrder::shuffled, 2);
  const auto order = first_tokens(one, 100);
  EXPECT_EQ(first_tokens(same, 100), order);
  EXPECT_NE(first_tokens(other, 100), order);
}

// The order is by window, whatever the batches' shape: a run may be compared with one of other micro-batches.
TEST_F(BatchStreamTest, ShapeDoesNotChangeTheOrder) {
  auto wide = counting(401, {.micro_batches = 5, .rows = 2, .sequence_length = 4}, WindowOrder::shuffled);
  auto narrow = counting(401, {1, 1, 4}, WindowOrder::shuffled);
  Batch batch;
  wide.next(batch);
  const auto firsts = first_tokens(narrow, 10);
  for (std::size_t row = 0; row < 10; ++row) EXPECT_EQ(batch.inputs[row * 4], firsts[row]);
}

TEST_F(BatchStreamTest, SeekEqualsContinuing) {
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    constexpr BatchShape kShape{.micro_batches = 3, .rows = 1, .sequence_length = 4};
    auto straight = counting(41, kShape, order);  // 10 windows: batches straddle passes
    Batch expected;
    for (int step = 0; step < 30; ++step) {
      auto resumed = counting(41, kShape, order);
      resumed.seek(straight.cursor());
      straight.next(expected);
      Batch got;
      resumed.next(got);
      ASSERT_EQ(got.inputs, expected.inputs) << "step " << step;
      ASSERT_EQ(got.labels, expected.labels) << "step " << step;
      ASSERT_EQ(resumed.cursor(), straight.cursor());
    }
  }
}

TEST_F(BatchStreamTest, SeekBackGivesAnEarlierPassAgain) {
  auto stream = counting(41, {1, 1, 4}, WindowOrder::shuffled);
  const auto first = first_tokens(stream, 25);
  stream.seek(0);
  EXPECT_EQ(first_tokens(stream, 25), first);
}

// A file with a hole: as long as a corpus of 2^40 tokens, and no block of it on the drive.
TEST_F(BatchStreamTest, ATrillionTokensAreOpenedAndShuffledAtOnce) {
  const auto path = tokens("long.bin", {1, 2, 3});
  std::error_code refused;
  std::filesystem::resize_file(path, std::uintmax_t{1} << 41, refused);
  if (refused) GTEST_SKIP() << "this file system has no files of 2 TiB: " << refused.message();
  BatchStream stream(TokenSource({path}, 65536, -1, Access::random), {1, 1, 1024}, WindowOrder::shuffled, 1);
  EXPECT_EQ(stream.windows(), (std::uint64_t{1} << 30) - 1);
  Batch batch;
  stream.seek(stream.windows() - 3);  // into the second pass
  for (int i = 0; i < 6; ++i) stream.next(batch);
  EXPECT_EQ(stream.cursor(), stream.windows() + 3);
  EXPECT_THAT(batch.inputs, testing::Each(0));
}

TEST_F(BatchStreamTest, RefusesFewerTokensThanOneRowNeeds) {
  try {
    counting(3, {1, 1, 3}, WindowOrder::sequential);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("3 tokens do not fill one row; train.sequence_length = 3 needs 4"));
  }
}

TEST_F(BatchStreamTest, StandsWhereItStoodAfterAFailedRead) {
  const auto path = tokens("bad.bin", {0, 1, 2, 3, 4, 5, 999, 7, 8});
  BatchStream stream(TokenSource({path}, 256, -1, Access::sequential), {1, 1, 4}, WindowOrder::sequential, 1);
  Batch batch;
  stream.next(batch);
  EXPECT_THROW(stream.next(batch), Error);
  EXPECT_EQ(stream.cursor(), 1u);
}

class PartsTest : public BatchStreamTest {
 protected:
  // Parts of 12, 5 and 3 windows of one token, drawn 5 : 3 : 2; a token tells its part and window.
  BatchStream weighted(WindowOrder order, BatchShape shape = {1, 1, 1}) {
    std::vector<Part> parts;
    constexpr std::array<double, 3> kWeights{5, 3, 2};
    constexpr std::array<int, 3> kWindows{12, 5, 3};
    for (std::size_t part = 0; part < kWeights.size(); ++part) {
      std::vector<int> ids;
      for (int i = 0; i <= kWindows[part]; ++i) ids.push_back(static_cast<int>(part) * 100 + i);
      const auto path = tokens("part" + std::to_string(part) + ".bin", ids);
      parts.push_back({Windows(TokenSource({path}, 65536, -1, Access::random), 1, Documents::joined), 0, 0, kWeights[part]});
      parts.back().count = parts.back().windows.count();
    }
    return {std::move(parts), shape, order, 1};
  }
};

TEST_F(PartsTest, RowsAreDrawnByWeightAndEachPartIsPassedOverAtItsOwnPace) {
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    auto stream = weighted(order);
    const auto drawn = first_tokens(stream, 240);
    std::vector<std::vector<std::int64_t>> by_part(3);
    for (const auto token : drawn) by_part[static_cast<std::size_t>(token / 100)].push_back(token % 100);
    EXPECT_EQ(by_part[0].size(), 120U);
    EXPECT_EQ(by_part[1].size(), 72U);
    EXPECT_EQ(by_part[2].size(), 48U);
    for (std::int64_t window = 0; window < 12; ++window) EXPECT_EQ(std::ranges::count(by_part[0], window), 10) << "ten whole passes";
    for (std::int64_t window = 0; window < 3; ++window) EXPECT_EQ(std::ranges::count(by_part[2], window), 16);
  }
}

TEST_F(PartsTest, SeekEqualsContinuing) {
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    constexpr BatchShape kShape{3, 1, 1};
    auto straight = weighted(order, kShape);
    for (int step = 0; step < 40; ++step) {
      auto resumed = weighted(order, kShape);
      resumed.seek(straight.cursor());
      Batch expected;
      Batch got;
      straight.next(expected);
      resumed.next(got);
      ASSERT_EQ(got.inputs, expected.inputs) << "step " << step;
    }
  }
}

TEST_F(PartsTest, WindowsOnceEndsWithTheFirstRepeat) {
  auto stream = weighted(WindowOrder::sequential);
  const auto once = stream.windows_once(1000);
  const auto tokens_drawn = first_tokens(stream, static_cast<int>(once) + 1);
  EXPECT_EQ(std::set<std::int64_t>(tokens_drawn.begin(), tokens_drawn.end()).size(), once);
  EXPECT_EQ(stream.windows_once(4), 4U);
}

TEST_F(BatchStreamTest, NextAllocatesAtTheFirstCallOnly) {
  auto stream = counting(401, {2, 2, 4}, WindowOrder::shuffled);
  Batch batch;
  stream.next(batch);
  const auto* inputs = batch.inputs.data();
  stream.next(batch);
  EXPECT_EQ(batch.inputs.data(), inputs);
}

}  // namespace
}  // namespace gsnake::data
