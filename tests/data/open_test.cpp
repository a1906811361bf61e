#include "data/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class OpenTest : public test::TempFiles {
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

  // One row a batch.
  Config single(const DataFile& file) {
    auto settings = config();
    settings.data.train = {file};
    settings.data.validation.clear();
    settings.data.order = WindowOrder::sequential;
    settings.train.micro_batches = settings.train.micro_batch_size = 1;
    return settings;
  }

  static std::vector<std::int64_t> first_tokens(BatchStream& stream, std::uint64_t batches) {
    std::vector<std::int64_t> firsts;
    Batch batch;
    for (std::uint64_t b = 0; b < batches; ++b) {
      stream.next(batch);
      firsts.push_back(batch.inputs.front());
    }
    return firsts;
  }

  static std::string refusal(ErrorKind kind, const Config& settings) {
    try {
      open_training(settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return {};
  }
};

TEST_F(OpenTest, TrainingFollowsTheConfig) {
  auto settings = config();
  settings.data.order = WindowOrder::sequential;
  auto stream = open_training(settings);
  Batch batch;
  stream.next(batch);
  EXPECT_EQ(std::string(batch.inputs.begin(), batch.inputs.end()), "abcdefghijkl");
  settings.data.order = WindowOrder::shuffled;
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

TEST_F(OpenTest, AValidationSplitHoldsOutTheLastRows) {
  auto settings = single(text("alphabet.txt", "abcdefghijklmnopqrstuvwxyz"));  // 8 rows: a, d, g, ..., v
  settings.data.validation_split = 0.25;
  auto training = open_training(settings);
  EXPECT_EQ(training.windows(), 6U);
  EXPECT_THAT(first_tokens(training, 7), ElementsAre('a', 'd', 'g', 'j', 'm', 'p', 'a'));
  auto validation = open_validation(settings);
  EXPECT_EQ(validation.batches, 2);
  EXPECT_THAT(first_tokens(validation.stream, 2), ElementsAre('s', 'v'));
  settings.data.order = WindowOrder::shuffled;
  auto shuffled = open_training(settings);
  const auto drawn = first_tokens(shuffled, 600);
  EXPECT_EQ(std::set<std::int64_t>(drawn.begin(), drawn.end()).size(), 6U) << "no row that is held out is ever trained on";
  EXPECT_EQ(std::ranges::count(drawn, 's') + std::ranges::count(drawn, 'v'), 0);
}

TEST_F(OpenTest, AValidationSplitCutsNoSeparateDocument) {
  std::vector<std::vector<std::int64_t>> documents;
  for (std::int64_t d = 0; d < 10; ++d) documents.emplace_back(10, d);  // 3 rows each
  auto settings = single(megatron("m", documents));
  settings.data.documents = Documents::separate;
  settings.data.validation_split = 0.25;  // 7.5 rows: from within a document on
  auto training = open_training(settings);
  auto validation = open_validation(settings);
  EXPECT_EQ(training.windows(), 24U);
  EXPECT_THAT(first_tokens(validation.stream, 6), ElementsAre(8, 8, 8, 9, 9, 9));
}

TEST_F(OpenTest, AValidationSplitHoldsOutPackedRows) {
  std::vector<std::vector<std::int64_t>> documents;
  for (std::int64_t d = 0; d < 40; ++d) documents.push_back({d, d, d});  // 3 a row, and a place that is not filled
  auto settings = single(megatron("m", documents));
  settings.data.documents = Documents::packed;
  settings.train.sequence_length = 7;
  settings.data.validation_split = 0.25;
  auto training = open_training(settings);
  auto validation = open_validation(settings);
  EXPECT_EQ(training.windows(), 10U) << "of 14";
  EXPECT_THAT(first_tokens(training, 11), ElementsAre(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 0));
  EXPECT_EQ(validation.batches, 4);
  EXPECT_THAT(first_tokens(validation.stream, 4), ElementsAre(30, 33, 36, 39));
  EXPECT_THAT(describe(training, 10), ElementsAre(HasSubstr("120 tokens, 10 rows, 1 passes, filled to 81.63%")));
}

TEST_F(OpenTest, PackedFilesAreDrawnByWeight) {
  auto settings = single("");
  settings.data.documents = Documents::packed;
  DataFile a(megatron("a", std::vector<std::vector<std::int64_t>>(50, {1, 1, 1})));
  DataFile b(megatron("b", std::vector<std::vector<std::int64_t>>(20, {2, 2})));
  a.weight = 1;
  b.weight = 3;
  settings.data.train = {a, b};
  auto stream = open_training(settings);
  const auto drawn = first_tokens(stream, 400);
  EXPECT_EQ(std::ranges::count(drawn, 2), 300);
}

TEST_F(OpenTest, RefusesASplitThatLeavesNothing) {
  auto settings = single(text("short.txt", "abcdefgh"));  // 2 rows
  settings.data.validation_split = 0.9;
  EXPECT_THAT(refusal(ErrorKind::input, settings), AllOf(HasSubstr("short.txt"), HasSubstr("data.validation_split = 0.9")));
}

TEST_F(OpenTest, WeightsGiveEachFileItsShareOfTheRowsAndOfTheValidation) {
  auto settings = single("");
  DataFile a(text("a.txt", std::string(301, 'a')));
  DataFile b(text("b.txt", std::string(61, 'b')));
  a.weight = 1;
  b.weight = 3;
  settings.data.train = {a, b};
  auto stream = open_training(settings);
  const auto drawn = first_tokens(stream, 400);
  EXPECT_EQ(std::ranges::count(drawn, 'b'), 300);
  EXPECT_THAT(describe(stream, 400), ElementsAre(AllOf(HasSubstr("a.txt (text"), HasSubstr("100 rows, 25% of the batches, 1 passes")),
                                                 AllOf(HasSubstr("20 rows, 75% of the batches, 15 passes"))));
  settings.data.validation_split = 0.1;
  auto validation = open_validation(settings);
  EXPECT_EQ(validation.batches, 3) << "one of a's rows, both of b's, and it would be b's turn again";
}

TEST_F(OpenTest, DocumentsAreSeparateForExamplesAloneUnlessTheConfigSays) {
  const auto examples = text("a.jsonl", "{\"tokens\": [1, 2]}\n{\"tokens\": [3, 4, 5]}\n");
  EXPECT_EQ(open_training(single(examples)).part(0).windows.documents(), Documents::separate);
  auto mixed = single(examples);
  mixed.data.train.emplace_back(tokens("b.bin", {1, 2, 3}));
  EXPECT_EQ(open_training(mixed).part(0).windows.documents(), Documents::joined);
  auto joined = single(examples);
  joined.data.documents = Documents::joined;
  EXPECT_EQ(open_training(joined).part(0).windows.documents(), Documents::joined);
}

TEST_F(OpenTest, TextIsRefusedWhereATokenizerWouldHaveToReadIt) {
  auto settings = single(text("a.txt", "some text"));
  settings.data.tokenizer = "/t/tokenizer.json";
  EXPECT_THAT(refusal(ErrorKind::usage, settings),
              AllOf(HasSubstr("a.txt is text"), HasSubstr("scripts/tokenize --tokenizer /t/tokenizer.json")));
  settings.data.train = {tokens("a.bin", {1, 2, 3, 4})};
  EXPECT_EQ(open_training(settings).windows(), 1U);
}

}  // namespace
}  // namespace gsnake::data
