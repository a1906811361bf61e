// Encodes and decodes as Hugging Face's library does: fixtures/make.py wrote what is compared with.
#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "greedysnake/error.h"

namespace gsnake::tokenizer {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string fixture(const std::string& name) { return std::string(GSNAKE_TOKENIZER_FIXTURES) + "/" + name; }

Json read_json(const std::string& name) {
  std::ifstream file(fixture(name));
  return Json::parse(file);
}

class TokenizerFixture : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerFixture, EncodesAsHuggingFaceDoes) {
  const auto tokenizer = load(fixture(std::string(GetParam()) + ".json"));
  const auto cases = read_json(std::string(GetParam()) + ".cases.json");
  ASSERT_GE(cases.size(), 9U);
  for (const auto& one : cases) {
    EXPECT_EQ(tokenizer->encode(one["text"].get<std::string>()), one["ids"].get<std::vector<std::int64_t>>()) << one["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerFixture, testing::Values("gpt2", "llama3", "qwen2", "unigram"),
                         [](const auto& file) { return file.param; });

class Tokenizers : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-tokenizer-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string refusal(const std::string& json) {
    const auto path = (folder_ / "tokenizer.json").string();
    std::ofstream(path) << json;
    try {
      static_cast<void>(load(path));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(path), testing::Not(HasSubstr("\n"))));
      return error.what();
    }
    ADD_FAILURE() << "not refused: " << json;
    return {};
  }

  static std::string text_of(const Tokenizer& tokenizer, const std::vector<std::int64_t>& ids) {
    std::string text;
    for (const auto id : ids) text += tokenizer.decode(id);
    return text;
  }

  std::filesystem::path folder_;
};

TEST_F(Tokenizers, BytesAreTheirValues) {
  const auto bytes = load("bytes");
  EXPECT_THAT(bytes->encode("A\xff"), ElementsAre(65, 255));
  EXPECT_EQ(bytes->decode(10), "\n");
  EXPECT_EQ(bytes->decode(256), "\xef\xbf\xbd");
  EXPECT_EQ(bytes->decode(-1), "\xef\xbf\xbd");
}

TEST_F(Tokenizers, ByteLevelTokensAddUpToTheText) {
  const auto tokenizer = load(fixture("gpt2.json"));
  for (const auto& one : read_json("gpt2.cases.json")) {
    EXPECT_EQ(text_of(*tokenizer, tokenizer->encode(one["text"].get<std::string>())), one["text"].get<std::string>());
  }
  EXPECT_EQ(tokenizer->decode(tokenizer->size()), "\xef\xbf\xbd");
  EXPECT_EQ(load(fixture("unigram.json"))->decode(load(fixture("unigram.json"))->encode("the").front()).front(), ' ');
}

TEST_F(Tokenizers, RefusesWhatIsNotOne) {
  EXPECT_THAT(refusal("{\"model\": "), HasSubstr("offset 10: it is not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("no \"model\""));
  EXPECT_THAT(refusal("{}"), HasSubstr("no \"model\""));
  EXPECT_THAT(refusal(R"({"model": {"type": "WordPiece"}})"),
              AllOf(HasSubstr("\"WordPiece\" is not known here"), HasSubstr("scripts/tokenize")));
  EXPECT_THAT(refusal(R"({"model": {"type": "BPE", "vocab": {}, "merges": []}})"), HasSubstr("BPE that is not byte-level"));
  EXPECT_THAT(refusal(R"({"normalizer": {"type": "Precompiled"}, "model": {"type": "Unigram"}})"), HasSubstr("the normalizer Precompiled"));
  EXPECT_THAT(refusal(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}})"),
              HasSubstr("its pattern ( is not"));
  EXPECT_THAT(refusal(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed"}})"),
              HasSubstr("behavior Removed"));
  EXPECT_THAT(refusal(R"({"pre_tokenizer": 3, "model": {}})"), HasSubstr("no \"type\""));
  EXPECT_THAT(refusal(R"({"normalizer": {"type": "two\nlines"}, "model": {}})"), HasSubstr("two\\x0alines"));
  std::string deep = "{\"normalizer\": ";
  for (int i = 0; i < 100'000; ++i) deep += R"({"type": "Sequence", "normalizers": [)";
  EXPECT_THAT(refusal(deep), HasSubstr("nested more than 64 deep"));
}

TEST_F(Tokenizers, RefusesRulesOfAddedTokensThatItDoesNotKnow) {
  const std::string head = R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [)";
  for (const std::string rule : {"lstrip", "rstrip", "single_word"}) {
    EXPECT_THAT(refusal(head + R"({"content": "<m>", "id": 1, ")" + rule + R"(": true}]})"), HasSubstr("the " + rule + " of its added token <m>"));
  }
}

TEST_F(Tokenizers, RefusesModelsThatDoNotFitThemselves) {
  const std::string head = R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", )";
  EXPECT_THAT(refusal(head + R"("vocab": {"a": 0}, "merges": ["a b"]}})"), HasSubstr("has no token \"ab\""));
  EXPECT_THAT(refusal(head + R"("vocab": {"a": 0}, "merges": ["a"]}})"), HasSubstr("merge 0 of it is no pair"));
  EXPECT_THAT(refusal(head + R"("vocab": {"a": -1}, "merges": []}})"), HasSubstr("-1 is no token id"));
  EXPECT_THAT(refusal(head + R"("vocab": {"a": 1000000000}, "merges": []}})"), HasSubstr("more than any vocabulary has"));
  EXPECT_THAT(refusal(head + R"("vocab": [1], "merges": []}})"), HasSubstr("no table of tokens"));
  const std::string unigram = R"({"model": {"type": "Unigram", )";
  EXPECT_THAT(refusal(unigram + R"("vocab": [["a"]]}})"), HasSubstr("entry 0"));
  EXPECT_THAT(refusal(unigram + R"("vocab": [["a", 0]], "unk_id": 1}})"), HasSubstr("\"unk_id\""));
  EXPECT_THAT(refusal(unigram + R"("vocab": []}, "added_tokens": [{"id": 0, "content": ""}]})"), HasSubstr("is empty"));
  EXPECT_THAT(refusal(unigram + R"("vocab": []}, "post_processor": {"type": "BertProcessing"}})"), HasSubstr("BertProcessing"));
}

TEST_F(Tokenizers, RefusesTextThatItHasNoTokenFor) {
  const auto path = (folder_ / "a.json").string();
  std::ofstream(path)
      << R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
  EXPECT_THAT(load(path)->encode("aa"), ElementsAre(0, 0));
  EXPECT_THROW(static_cast<void>(load(path)->encode("ab")), Error);
}

}  // namespace
}  // namespace gsnake::tokenizer
