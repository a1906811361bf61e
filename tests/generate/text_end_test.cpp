#include "generate/text_end.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "generate/drafts.h"
#include "temporary_folder.h"
#include "thrown.h"

namespace gsnake::generate {
namespace {

TEST(TextStream, CutsNoCharacter) {
  TextStream stream({});
  EXPECT_EQ(stream.add("caf\xC3"), "caf");
  EXPECT_EQ(stream.add("\xA9!"), "\xC3\xA9!");
  EXPECT_EQ(stream.add("\xF0\x9F"), "");
  EXPECT_EQ(stream.add("\x98\x80"), "\xF0\x9F\x98\x80");
  EXPECT_EQ(stream.add("\xE2\x82"), "");
  EXPECT_EQ(stream.finish(), "\xE2\x82") << "what never becomes one is shown in the end";
}

TEST(TextStream, ShowsBytesThatBeginNoCharacter) {
  TextStream stream({});
  EXPECT_EQ(stream.add("\xFF\x80z"), "\xFF\x80z");
  EXPECT_EQ(stream.add("\x80"), "\x80");
}

TEST(TextStream, EndsBeforeAStopTextThatComesInPieces) {
  TextStream stream({"END", "\n\n"});
  EXPECT_EQ(stream.add("one E"), "one ");
  EXPECT_EQ(stream.add("nd E"), "End ") << "it was none";
  EXPECT_EQ(stream.add("N"), "");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.add("D of it"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, TheFirstOfSeveralStopsCounts) {
  TextStream stream({"b", "a"});
  EXPECT_EQ(stream.add("xyab"), "xy");
  EXPECT_TRUE(stream.stopped());
}

TEST(TextStream, WhatMayBecomeAStopIsShownWhenNothingMoreComes) {
  TextStream stream({"stop"});
  EXPECT_EQ(stream.add("a sto"), "a ");
  EXPECT_EQ(stream.finish(), "sto");
}

TEST(EndTokens, AreTheGenerationConfigsAndElseTheConfigs) {
  const test::TemporaryFolder folder;
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return std::string(folder / name);
  };
  const std::string config = put("config.json", R"({"eos_token_id": 7})");
  EXPECT_EQ(end_tokens({config}), std::vector<std::int64_t>{7});
  const std::string silent = put("generation_config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(end_tokens({silent, config}), std::vector<std::int64_t>{7});
  put("generation_config.json", R"({"eos_token_id": [2, 5]})");
  EXPECT_EQ(end_tokens({config, silent}), (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(end_tokens({}), std::vector<std::int64_t>());
  put("generation_config.json", R"({"eos_token_id": "</s>"})");
  EXPECT_NE(test::message_of(ErrorKind::input, [&] { end_tokens({silent}); }).find("generation_config.json"), std::string::npos);
}

TEST(Drafts, AreWhatFollowedTheSameTokensLast) {
  const std::vector<std::int64_t> text{1, 2, 3, 4, 9, 1, 2, 3, 5, 6, 1, 2, 3};
  EXPECT_EQ(draft(text, 2), (std::vector<std::int64_t>{5, 6}));
  EXPECT_EQ(draft(text, 16), (std::vector<std::int64_t>{5, 6, 1, 2, 3}));
  EXPECT_EQ(draft(text, 0), std::vector<std::int64_t>());
  EXPECT_EQ(draft(std::vector<std::int64_t>{7, 2, 3, 8, 0, 2, 3}, 4), (std::vector<std::int64_t>{8, 0, 2, 3})) << "two tokens where three have none";
  EXPECT_EQ(draft(std::vector<std::int64_t>{1, 2, 3, 4, 5}, 4), std::vector<std::int64_t>());
  EXPECT_EQ(draft(std::vector<std::int64_t>{4, 4, 4, 4}, 3), (std::vector<std::int64_t>{4}));
}

}  // namespace
}  // namespace gsnake::generate
