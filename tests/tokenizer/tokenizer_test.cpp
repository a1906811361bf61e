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

// Drawn from all of Unicode (library/random_texts.py); where the library is installed, tokenizer.Library compares more.
TEST_P(TokenizerFixture, EncodesRandomTextsAsHuggingFaceDoes) {
  const auto tokenizer = load(fixture(std::string(GetParam()) + ".json"));
  const auto cases = read_json("random.cases.json");
  ASSERT_GE(cases["texts"].size(), 40U);
  for (std::size_t i = 0; i < cases["texts"].size(); ++i) {
    EXPECT_EQ(tokenizer->encode(cases["texts"][i].get<std::string>()), cases["ids"][GetParam()][i].get<std::vector<std::int64_t>>())
        << cases["texts"][i];
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerFixture, testing::Values("gpt2", "llama3", "qwen2", "normalized", "unigram"),
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

// As the library, whatever "id" says: data that it tokenized has these ids.
TEST_F(Tokenizers, AddedTokensThatTheModelHasNotAreNumberedBehindIt) {
  const auto path = (folder_ / "added.json").string();
  std::ofstream(path)
      << R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
      "added_tokens": [{"content": "<x>", "id": 9}, {"content": "b", "id": 5}, {"content": "<y>", "id": 4, "special": true}, {"content": "<x>", "id": 7}]})";
  const auto tokenizer = load(path);
  EXPECT_THAT(tokenizer->encode("a<y>b<x>"), ElementsAre(0, 3, 1, 2));
  EXPECT_EQ(tokenizer->decode(3), "<y>");
  EXPECT_EQ(tokenizer->size(), 4);
  std::ofstream(path)
      << R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 9}, "merges": []},
      "added_tokens": [{"content": "<x>", "id": 10}, {"content": "b", "id": 9}, {"content": "<y>", "id": 11}]})";
  EXPECT_THAT(load(path)->encode("<x>b<y>"), ElementsAre(2, 9, 3));
  // The library would lose one of the two.
  EXPECT_THAT(refusal(R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 2}, "merges": []},
      "added_tokens": [{"content": "<x>", "id": 1}]})"),
              HasSubstr("its added token <x> gets the id 2, which another token has"));
  EXPECT_THAT(refusal(R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
      "added_tokens": [{"content": "<x>", "id": 1}, {"content": "<x>", "id": 1, "special": true}]})"),
              HasSubstr("lists its added token <x> twice"));
}

// One that is not is found in the text as it is; one that is, in what the normalizer makes of the text.
TEST_F(Tokenizers, AddedTokensAreFoundBeforeOrBehindTheNormalizer) {
  const auto path = (folder_ / "added.json").string();
  std::ofstream(path) << R"({"normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"f": 0, "i": 1, "k": 2, "m": 3}, "merges": []}, "added_tokens": [
      {"content": "\ufb01", "id": 4, "normalized": true}, {"content": "\u33a0", "id": 5, "normalized": false}, {"content": "kmk", "id": 6, "normalized": true}]})";
  const auto tokenizer = load(path);
  EXPECT_THAT(tokenizer->encode("fi"), ElementsAre(4));
  EXPECT_THAT(tokenizer->encode("\xef\xac\x81"), ElementsAre(4));  // U+FB01
  EXPECT_THAT(tokenizer->encode("if"), ElementsAre(1, 0));
  EXPECT_THAT(tokenizer->encode("\xe3\x8e\x9ek"), ElementsAre(6));  // U+339E, which is km
}

TEST_F(Tokenizers, SaysWhatAFileOfAnotherKindIs) {
  EXPECT_THAT(refusal("version https://git-lfs.example/spec/v1\noid sha256:00\n"),
              AllOf(HasSubstr("it is a Git LFS pointer"), HasSubstr("git lfs pull")));
  EXPECT_THAT(refusal("<!DOCTYPE html>"), HasSubstr("it is a web page"));
  const auto refusal_of = [](const std::filesystem::path& path) {
    try {
      static_cast<void>(load(path.string()));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  std::filesystem::create_symlink("../blobs/0123", folder_ / "link");
  EXPECT_THAT(refusal_of(folder_ / "link"), HasSubstr("it is a link to ../blobs/0123, which is not there"));
  EXPECT_THAT(refusal_of(folder_), HasSubstr("it is a folder; name the tokenizer.json in it"));
  EXPECT_THAT(refusal_of(folder_ / "absent"), HasSubstr("No such file"));
}

TEST_F(Tokenizers, RefusesRulesOfAddedTokensThatItDoesNotKnow) {
  const std::string head =
      R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [)";
  for (const std::string rule : {"lstrip", "rstrip", "single_word"}) {
    EXPECT_THAT(refusal(head + R"({"content": "<m>", "id": 1, ")" + rule + R"(": true}]})"),
                HasSubstr("the " + rule + " of its added token <m>"));
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

// Each would take minutes if its time grew with the square of the text.
// Quadratic, each would take minutes; sanitizers have shorter ones to look at.
TEST_F(Tokenizers, LongTextsTakeTimeInProportion) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr std::size_t kLong = 20'000;
#else
  constexpr std::size_t kLong = 400'000;
#endif
  const auto repeated = [](std::string_view part) {
    std::string text;
    while (text.size() < kLong) text += part;
    return text;
  };
  for (const char* name : {"gpt2", "llama3", "normalized", "unigram"}) {
    const auto tokenizer = load(fixture(std::string(name) + ".json"));
    const bool is_bytes = name == std::string("gpt2");
    for (const char* part : {"a", "inthebeginning", " ", "\n", "<|end|>", "<|end|", "<"}) {
      const std::string text = repeated(part);
      const auto ids = tokenizer->encode(text);
      EXPECT_GE(ids.size(), 1U) << name << " " << part;
      EXPECT_TRUE(!is_bytes || text_of(*tokenizer, ids) == text) << part;
    }
  }
}

// Two rules may make the same token of different pairs, and a rule may be there twice.
TEST_F(Tokenizers, MergesInTheOrderOfTheirRanks) {
  const auto encode = [&](const std::string& merges, const std::string& text) {
    const auto path = (folder_ / "merges.json").string();
    std::ofstream(path) << R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE", "vocab":
        {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5, "aa": 6, "aaaa": 7}, "merges": )"
                        << merges << "}}";
    return load(path)->encode(text);
  };
  EXPECT_THAT(encode(R"(["b c", "a b"])", "abc"), ElementsAre(0, 4));
  EXPECT_THAT(encode(R"(["a b", "b c"])", "abc"), ElementsAre(3, 2));
  EXPECT_THAT(encode(R"(["a b", "b c", "a b"])", "abc"), ElementsAre(0, 4));  // the last of two counts
  EXPECT_THAT(encode(R"(["b c", "a bc", "a b", "ab c"])", "abcab"), ElementsAre(5, 3));
  EXPECT_THAT(encode(R"(["a a", "aa aa"])", "aaaaaaa"), ElementsAre(7, 6, 0));
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
