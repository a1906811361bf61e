#include "data/batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data/open.h"
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

TEST_F(BatchStreamTest, NextAllocatesAtTheFirstCallOnly) {
  auto stream = counting(401, {2, 2, 4}, WindowOrder::shuffled);
  Batch batch;
  stream.next(batch);
  const auto* inputs = batch.inputs.data();
  stream.next(batch);
  EXPECT_EQ(batch.inputs.data(), inputs);
}

class OpenTest : public BatchStreamTest {
 protected:
  Config config() {
    Config config;
    config.data.train = {text("train.txt", "abcdefghijklmnopqrstuvwxyz")};
    config.data.validation = {text("validation.txt", "ABCDEFGHIJ")};
    config.model.vocab = 256;
    config.train.micro_batches = 2;
    config.train.micro_batch_size = 2;
    config.train.sequence_length = 3;
    return config;
  }
};

TEST_F(OpenTest, TrainingFollowsTheConfig) {
  auto settings = config();
  settings.data.order = "sequential";
  auto stream = open_training(settings);
  Batch batch;
  stream.next(batch);
  EXPECT_EQ(std::string(batch.inputs.begin(), batch.inputs.end()), "abcdefghijkl");
  settings.data.order = "shuffled";
  auto shuffled = open_training(settings);
  shuffled.next(batch);
  EXPECT_NE(std::string(batch.inputs.begin(), batch.inputs.end()), "abcdefghijkl");
}

TEST_F(OpenTest, ValidationIsTheSameFirstBatchesEachTime) {
  auto settings = config();
  settings.train.micro_batch_size = 1;
  settings.train.validation_batches = 2;
  auto validation = open_validation(settings);
  EXPECT_EQ(validation.batches, 2);
  for (int time = 0; time < 2; ++time) {
    validation.stream.seek(0);
    EXPECT_THAT(first_tokens(validation.stream, 2), ElementsAre('A', 'D'));
  }
}

TEST_F(OpenTest, ValidationTakesNoWindowTwice) {
  EXPECT_EQ(open_validation(config()).batches, 1) << "3 windows make one whole batch of 2 rows";
}

}  // namespace
}  // namespace gsnake::data
