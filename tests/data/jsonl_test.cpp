#include "data/jsonl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class JsonlTest : public test::TempFiles {
 protected:
  struct Tokens {
    std::vector<std::int64_t> ids;
    std::vector<std::uint8_t> counted;
  };

  static Tokens part(const TokenFile& file, std::int64_t first, std::size_t count) {
    Tokens tokens{std::vector<std::int64_t>(count), std::vector<std::uint8_t>(count)};
    file.read(first, tokens.ids, tokens.counted);
    return tokens;
  }
  static Tokens all(const TokenFile& file) { return part(file, 0, static_cast<std::size_t>(file.tokens())); }
  std::unique_ptr<TokenFile> open(const std::string& lines) { return open_token_file(text("a.jsonl", lines), 1000, Access::random); }

  std::string refusal(const std::string& lines) {
    try {
      open(lines);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "not refused: " << lines;
    return {};
  }
};

TEST_F(JsonlTest, AMaskSaysWhichTokensCount) {
  const auto file = open(R"({"tokens": [1, 2, 3], "mask": [0, 1, true]})"
                         "\n"
                         R"({"tokens": [4]})");
  EXPECT_THAT(all(*file).ids, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(all(*file).counted, ElementsAre(0, 1, 1, 1));
}

TEST_F(JsonlTest, HuggingFacesNamesMeanTheSame) {
  const auto file = open(R"({"input_ids": [5, 6, 7], "labels": [-100, 6, -100], "attention_mask": [1, 1, 1], "source": {"a": [1]}})");
  EXPECT_THAT(all(*file).ids, ElementsAre(5, 6, 7));
  EXPECT_THAT(all(*file).counted, ElementsAre(0, 1, 0));
}

TEST_F(JsonlTest, OtherToolsMasksSayWhatCounts) {
  for (const char* key : {"completion_mask", "assistant_masks", "loss_mask"}) {
    const auto file = open(std::string(R"({"input_ids": [5, 6, 7], ")") + key + R"(": [0, 0, 1], "special_tokens_mask": [1, 0, 0], "token_type_ids": [0, 0, 0]})");
    EXPECT_THAT(all(*file).counted, ElementsAre(0, 0, 1)) << key;
  }
  const auto twice = open(R"({"input_ids": [5, 6, 7], "completion_mask": [0, 0, 1], "labels": [-100, -100, 7]})");
  EXPECT_THAT(all(*twice).counted, ElementsAre(0, 0, 1));
  EXPECT_THAT(refusal(R"({"input_ids": [5, 6], "completion_mask": [0, 1], "assistant_masks": [1, 1]})"), HasSubstr("\"completion_mask\" and \"assistant_masks\" differ"));
  EXPECT_THAT(refusal(R"({"tokens": [5, 6], "mask": [0, 1], "labels": [5, 6]})"), HasSubstr("\"mask\" and \"labels\" differ"));
  EXPECT_THAT(refusal(R"({"tokens": [5, 6], "input_ids": [5, 7]})"), HasSubstr("differ"));
}

TEST_F(JsonlTest, PaddingIsLeftOut) {
  for (const char* line : {R"({"input_ids": [5, 6, 7, 0, 0], "attention_mask": [1, 1, 1, 0, 0]})", R"({"input_ids": [0, 0, 5, 6, 7], "attention_mask": [0, 0, 1, 1, 1]})",
                           R"({"input_ids": [0, 5, 6, 7, 0], "attention_mask": [0, 1, 1, 1, 0], "position_ids": [1, 0, 1, 2, 3]})"}) {
    const auto file = open(line);
    EXPECT_THAT(all(*file).ids, ElementsAre(5, 6, 7)) << line;
    EXPECT_THAT(all(*file).counted, ElementsAre(1, 1, 1)) << line;
  }
  const auto labelled = open(R"({"input_ids": [0, 0, 5, 6], "attention_mask": [0, 0, 1, 1], "labels": [-100, -100, -100, 6]})");
  EXPECT_THAT(all(*labelled).counted, ElementsAre(0, 1));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2, 3], "attention_mask": [1, 0, 1]})"), HasSubstr("0 between tokens"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2], "attention_mask": [0, 0]})"), HasSubstr("leaves no token"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2], "attention_mask": [0.5, 1]})"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2], "attention_mask": [1, 2]})"), HasSubstr("must be 0 or 1"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2], "attention_mask": [1]})"), HasSubstr("1 values in \"attention_mask\" for 2"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2, 3], "position_ids": [0, 1, 0]})"), HasSubstr("lines of their own"));
}

TEST_F(JsonlTest, PackedLinesAndKeysThatStandTwiceAreRefused) {
  EXPECT_THAT(refusal(R"({"tokens": [1, 2, 3], "seq_lengths": [2, 1]})"), HasSubstr("several documents are packed"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2, 3], "document_ids": [0, 0, 1]})"), HasSubstr("several documents are packed"));
  EXPECT_THAT(refusal(R"({"tokens": [1, 2], "mask": [0, 1], "mask": [1, 1]})"), HasSubstr("\"mask\" stands there twice"));
  const auto file = open(R"({"tokens": [1, 2, 3], "seq_lengths": [3], "document_ids": [7, 7, 7], "label": 1, "meta": {"a": 1, "b": {"a": 2}}})");
  EXPECT_THAT(all(*file).ids, ElementsAre(1, 2, 3));
}

TEST_F(JsonlTest, WhatLooksLikeAMaskIsNotPassedOver) {
  for (const char* key : {"masks", "Mask", "label", "loss_weights", "completion_masks", "labels_shifted"}) {
    EXPECT_THAT(refusal(std::string(R"({"tokens": [1, 2], ")") + key + R"(": [0, 1]})"), AllOf(HasSubstr(key), HasSubstr("would be passed over"))) << key;
  }
}

TEST_F(JsonlTest, EmptyLinesAndTheLastOnesEndMayBeMissing) {
  const auto file = open("\n{\"tokens\": [1, 2]}\r\n\n  \n{\"tokens\": [3]}");
  EXPECT_EQ(file->documents(), 2);
  EXPECT_THAT(all(*file).ids, ElementsAre(1, 2, 3));
}

// More examples than lie between two places that are kept.
TEST_F(JsonlTest, EveryPartCanBeRead) {
  std::string lines;
  std::vector<std::int64_t> ids;
  for (std::int64_t example = 0; example < 50; ++example) {
    lines += "{\"tokens\": [";
    for (std::int64_t i = 0; i <= example % 5; ++i) {
      ids.push_back(static_cast<std::int64_t>(ids.size()));
      lines += (i == 0 ? "" : ", ") + std::to_string(ids.back());
    }
    lines += example % 3 == 0 ? "]}\n\n" : "]}\n";
  }
  const auto file = open(lines);
  ASSERT_EQ(file->tokens(), 150);
  for (std::size_t first = 0; first < 150; first += 7) {
    for (std::size_t count = 1; first + count <= 150; count += 13) {
      EXPECT_TRUE(std::ranges::equal(part(*file, static_cast<std::int64_t>(first), count).ids, std::span(ids).subspan(first, count)))
          << first << " " << count;
    }
  }
  std::vector<Document> documents(20);
  file->read_documents(17, documents);
  EXPECT_EQ(documents.front().first, 3 * 15 + 1 + 2);
  EXPECT_EQ(documents.back().tokens, 36 % 5 + 1);
}

TEST_F(JsonlTest, RefusesBadLinesWithLineAndOffset) {
  const std::string good = "{\"tokens\": [1]}\n";  // 16 bytes
  EXPECT_THAT(refusal(good + "{\"tokens\": [1,]}"), AllOf(HasSubstr("a.jsonl"), HasSubstr("line 2, offset 30"), HasSubstr("not JSON")));
  EXPECT_THAT(refusal(good + "[1, 2]"), AllOf(HasSubstr("line 2, offset 16"), HasSubstr("no JSON object")));
  EXPECT_THAT(refusal(good + "{\"text\": \"abc\"}"), HasSubstr("scripts/tokenize"));
  EXPECT_THAT(refusal("{\"tokens\": []}"), HasSubstr("has no \"tokens\""));
  EXPECT_THAT(refusal("{\"tokens\": [1.5]}"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal("{\"tokens\": \"1\"}"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal("{\"tokens\": [[1]]}"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal("{\"tokens\": [99999999999999999999]}"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal("{\"tokens\": [18446744073709551615]}"), HasSubstr("not a list of integers"));
  EXPECT_THAT(refusal("{\"tokens\": [1e999]}"), AllOf(HasSubstr("line 1, offset 0"), HasSubstr("cannot be taken as JSON")));
  EXPECT_THAT(refusal("{\"tokens\": [1, 1000]}"), HasSubstr("token id 1000 (number 1 of its line) is not below model.vocab = 1000"));
  EXPECT_THAT(refusal("{\"tokens\": [-1]}"), HasSubstr("token id -1"));
  EXPECT_THAT(refusal("{\"tokens\": [true]}"), HasSubstr("token id true"));
  EXPECT_THAT(refusal("{\"tokens\": [1, 2], \"mask\": [1]}"), HasSubstr("1 values in \"mask\" for 2 token ids"));
  EXPECT_THAT(refusal("{\"tokens\": [1], \"mask\": [2]}"), HasSubstr("must be 0 or 1"));
  EXPECT_THAT(refusal("{\"input_ids\": [1], \"labels\": [2]}"), HasSubstr("must be -100 or the token's own id"));
  EXPECT_THAT(refusal("\n \n"), HasSubstr("no example"));
  EXPECT_THAT(refusal(""), HasSubstr("no example"));
  EXPECT_THAT(refusal(std::string((1 << 24) + 1, ' ')), HasSubstr("longer than 16 MiB"));
}

TEST_F(JsonlTest, DeepNestingIsNoDanger) { EXPECT_THAT(refusal(std::string(1 << 20, '[')), HasSubstr("not JSON")); }

TEST_F(JsonlTest, AFileThatIsChangedMeanwhileIsAnError) {
  const std::string before = "{\"tokens\": [1]}\n{\"tokens\": [2]}\n";
  for (const std::string after : {"{\"tokens\": [1]}\n{\"tokens\": [2,", "{\"tokens\": [1, 2]}\n{\"tokens\": []}",
                                  "{\"tokens\": [3,1]}\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"}) {
    const auto file = open(before);
    text("a.jsonl", after);
    EXPECT_THROW(all(*file), Error) << after;
  }
}

}  // namespace
}  // namespace gsnake::data
