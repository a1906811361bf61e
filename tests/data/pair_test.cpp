#include "data/pair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "data/open.h"
#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kNo = kIgnoredLabel;

class PairTest : public test::TempFiles {
 protected:
  Config config(const std::string& lines, std::int64_t length) {
    Config config;
    config.data.train = {DataFile(text("pairs.jsonl", lines))};
    config.data.order = WindowOrder::sequential;
    config.model.vocab = 1000;
    config.train.objective = Objective::dpo;
    config.train.micro_batches = config.train.micro_batch_size = 1;
    config.train.sequence_length = length;
    return config;
  }

  std::string refused(const std::string& line, std::int64_t length = 8) {
    return refusal([&] { open_training(config("{\"prompt\": [1], \"chosen\": [2], \"rejected\": [3]}\n" + line, length)); });
  }

  // Pair i asks i and is answered by i + 1, or by i + 2 twice.
  static std::string pairs(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      const auto at = [&](int more) { return std::to_string(i + more); };
      lines += "{\"prompt\": [" + at(0) + "], \"chosen\": [" + at(1) + "], \"rejected\": [" + at(2) + ", " + at(2) + "]}\n";
    }
    return lines;
  }
};

TEST_F(PairTest, ARowIsPromptAndAnswerWithTheAnswersCountedAlone) {
  auto stream = open_training(config(R"({"prompt": [1, 2, 3], "chosen": [10, 11], "rejected": [20], "score_chosen": 0.5})", 5));
  Batch batch;
  stream.next(batch);
  EXPECT_THAT(batch.inputs, ElementsAre(1, 2, 3, 10, 11, 1, 2, 3, 20, 0));
  EXPECT_THAT(batch.labels, ElementsAre(kNo, kNo, 10, 11, kNo, kNo, kNo, 20, kNo, kNo));
  EXPECT_THAT(describe(stream, 1), ElementsAre(AllOf(HasSubstr("(JSONL, pairs): 9 tokens, 1 pairs"))));
}

// As TRL takes them apart, so that an answer is never empty.
TEST_F(PairTest, AnImplicitPromptIsWhatBothBeginWith) {
  auto stream = open_training(config(R"({"chosen": [1, 2, 10, 11], "rejected": [1, 2, 20]})"
                                     "\n"
                                     R"({"prompt": null, "chosen": [1, 2], "rejected": [1, 2, 3]})",
                                     4));
  Batch batch;
  stream.next(batch);
  EXPECT_THAT(batch.labels, ElementsAre(kNo, 10, 11, kNo, kNo, 20, kNo, kNo));
  stream.next(batch);
  EXPECT_THAT(batch.labels, ElementsAre(2, kNo, kNo, kNo, 2, 3, kNo, kNo));
}

TEST_F(PairTest, ALongPromptLosesItsBeginningInBothRowsAlike) {
  testing::internal::CaptureStdout();
  auto stream = open_training(config(R"({"prompt": [1, 2, 3, 4], "chosen": [10, 11], "rejected": [20]})"
                                     "\n"
                                     R"({"prompt": [1, 2], "chosen": [10, 11], "rejected": [20]})",
                                     3));
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("the prompts of 1 of 2 pairs lose their beginnings"));
  Batch batch;
  stream.next(batch);
  EXPECT_THAT(batch.inputs, ElementsAre(3, 4, 10, 3, 4, 20)) << "an answer's last token is a label alone";
  EXPECT_THAT(batch.labels, ElementsAre(kNo, 10, 11, kNo, 20, kNo)) << "both answer what is left of the prompt";
}

TEST_F(PairTest, ALongerAnswerIsRefusedByItsLine) {
  const auto settings = [&](const char* answer) {
    return config(R"({"prompt": [1], "chosen": [2], "rejected": )" + std::string(answer) + "}", 3);
  };
  EXPECT_EQ(open_training(settings("[1, 2, 3]")).windows(), 1U);
  EXPECT_THAT(refusal([&] { open_training(settings("[1, 2, 3, 4]")); }),
              AllOf(HasSubstr("pairs.jsonl: line 1, offset 0"),
                    HasSubstr("\"rejected\" has 4 tokens, more than a row of train.sequence_length = 3")));
}

TEST_F(PairTest, WhatIsNoPairIsRefusedByItsLine) {
  const std::array<std::pair<const char*, const char*>, 13> cases{{
      {R"({"prompt": "a", "chosen": [2], "rejected": [3]})", "line 2, offset 48: \"prompt\" is text; scripts/tokenize"},
      {R"({"prompt": [1], "chosen": "b", "rejected": "c"})", "\"chosen\" is text; scripts/tokenize"},
      {R"({"prompt": [1], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [3]})", "\"chosen\" is text; scripts/tokenize"},
      {R"({"tokens": [1, 2]})", "it has no \"chosen\": it is an example, and train.objective = \"dpo\" takes lines of"},
      {R"({"prompt": [1], "chosen": [2]})", "it has no \"rejected\""},
      {R"({"prompt": [], "chosen": [2], "rejected": [3]})", "\"prompt\" is empty"},
      {R"({"prompt": [1], "chosen": [], "rejected": [3]})", "\"chosen\" is empty"},
      {R"({"chosen": [2, 5], "rejected": [3, 5]})", "\"chosen\" and \"rejected\" do not begin with one"},
      {R"({"prompt": [1], "chosen": [1000], "rejected": [3]})", "token id 1000 (number 0 of its line) is not below model.vocab = 1000"},
      {R"({"prompt": [1], "chosen": [2], "rejected": 3})", "\"rejected\" is not a list of integers"},
      {R"({"prompt": [1], "chosen": [2.5], "rejected": [3]})", "\"chosen\" is not a list of integers"},
      {R"({"prompt": [1], "chosen": [2], "rejected": [3], "chosen_mask": [1]})",
       "\"chosen_mask\" looks as if it said what the loss counts"},
      {R"({"prompt": [1], "chosen": [2], "chosen": [4], "rejected": [3]})", "\"chosen\" stands there twice"},
  }};
  for (const auto& [line, why] : cases) EXPECT_THAT(refused(line), HasSubstr(why)) << line;
}

TEST_F(PairTest, OtherFilesAndOtherObjectivesAreRefused) {
  auto settings = config(pairs(2), 4);
  settings.train.objective = Objective::tokens;
  EXPECT_THAT(refusal([&] { open_training(settings); }), HasSubstr("it is a preference pair: set train.objective = \"dpo\""));
  auto binary = config(pairs(2), 4);
  binary.data.train = {DataFile(tokens("a.bin", {1, 2, 3}))};
  EXPECT_THAT(refusal([&] { open_training(binary); }),
              HasSubstr("train.objective = \"dpo\" takes preference pairs, which are lines of a .jsonl"));
}

TEST_F(PairTest, APassHasEachPairOnceInAnyOrderAndASeekGoesOn) {
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    auto settings = config(pairs(50), 4);
    settings.data.train.emplace_back(text("more.jsonl", "\n{\"prompt\": [500], \"chosen\": [501], \"rejected\": [502, 502]}\n"));
    settings.data.order = order;
    settings.train.micro_batch_size = 3;
    auto stream = open_training(settings);
    ASSERT_EQ(stream.windows(), 51U);
    std::set<std::int64_t> prompts;
    Batch batch;
    for (int step = 0; step < 17; ++step) {
      auto resumed = open_training(settings);
      resumed.seek(stream.cursor());
      stream.next(batch);
      Batch again;
      resumed.next(again);
      ASSERT_EQ(again.inputs, batch.inputs);
      ASSERT_EQ(again.labels, batch.labels);
      ASSERT_EQ(batch.inputs.size(), 3U * 2 * 4);
      for (std::size_t row = 0; row < 3; ++row) {
        const auto first = batch.inputs.begin() + static_cast<std::ptrdiff_t>(row) * 8;
        EXPECT_EQ(first[0] + 1, batch.labels[row * 8]) << "the chosen one comes first";
        EXPECT_EQ(first[4] + 2, batch.labels[row * 8 + 5]);
        EXPECT_TRUE(prompts.insert(first[0]).second);
      }
    }
    EXPECT_EQ(prompts.size(), 51U);
  }
}

TEST_F(PairTest, PairsAreHeldOutForValidationAndDrawnByWeight) {
  auto settings = config(pairs(20), 4);
  settings.data.validation_split = 0.1;
  EXPECT_EQ(open_training(settings).windows(), 18U);
  auto validation = open_validation(settings);
  EXPECT_EQ(validation.batches, 2);
  Batch batch;
  validation.stream.next(batch);
  EXPECT_EQ(batch.inputs.size(), 8U);
  EXPECT_EQ(batch.inputs.front(), 18);
  auto weighted = config(pairs(20), 4);
  weighted.data.train.emplace_back(text("b.jsonl", R"({"prompt": [900], "chosen": [1], "rejected": [2]})"));
  weighted.data.train[0].weight = 1;
  weighted.data.train[1].weight = 3;
  auto stream = open_training(weighted);
  int drawn = 0;
  for (int step = 0; step < 40; ++step) {
    stream.next(batch);
    drawn += batch.inputs.front() == 900 ? 1 : 0;
  }
  EXPECT_EQ(drawn, 30);
}

}  // namespace
}  // namespace gsnake::data
