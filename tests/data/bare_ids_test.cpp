// Files of ids that do not say how wide they are; texts with a byte-order mark.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/log.h"
#include "data/token_source.h"
#include "data/token_file.h"
#include "temp_files.h"

#include <spdlog/sinks/ostream_sink.h>

#include <sstream>

namespace gsnake::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BareIdsTest : public test::TempFiles {
 protected:
  static std::vector<std::int64_t> all(const DataFile& file, std::int64_t vocab) {
    const auto tokens = open_token_file(file, vocab, Access::random);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(tokens->tokens()));
    tokens->read(0, ids, {});
    return ids;
  }
  static DataFile with(const std::string& path, TokenDtype dtype) {
    DataFile file(path);
    file.dtype = dtype;
    return file;
  }
  // What is logged while the file is opened.
  static std::string warning(const DataFile& file, std::int64_t vocab) {
    std::ostringstream text;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(text)));
    open_token_file(file, vocab, Access::random);
    spdlog::set_default_logger(before);
    return text.str();
  }
};

TEST_F(BareIdsTest, EachDtypeIsReadAsItIsWritten) {
  for (const auto& [dtype, width] : {std::pair{TokenDtype::uint8, 1}, {TokenDtype::uint16, 2}, {TokenDtype::int32, 4}, {TokenDtype::uint32, 4}, {TokenDtype::int64, 8}, {TokenDtype::uint64, 8}}) {
    for (const char* name : {"a.bin", "a.tokens"}) {
      const std::string path = text(name, little_endian({1, 2, 200}, width));
      EXPECT_THAT(all(with(path, dtype), 100000), ElementsAre(1, 2, 200)) << word_of(dtype);
    }
  }
  const TokenSource by_default({text("d.bin", little_endian({99999}, 4))}, 100000, -1, Access::sequential, TokenDtype::uint32);
  EXPECT_EQ(by_default.size(), 1);
  EXPECT_THAT(all(with(text("b.bin", little_endian({99999}, 4)), TokenDtype::uint32), 100000), ElementsAre(99999));
  EXPECT_THAT(refusal([&] { all(with(text("n.bin", little_endian({-1}, 4)), TokenDtype::int32), 100000); }), HasSubstr("token id -1 at offset 0"));
  EXPECT_THAT(refusal([&] { all(with(text("odd.bin", "123456"), TokenDtype::uint32), 100); }), HasSubstr("no whole number of uint32 tokens"));
}

TEST_F(BareIdsTest, AVocabularyThatSixteenBitsCannotHoldNeedsToSay) {
  const std::string path = tokens("a.bin", {1, 2, 3});
  EXPECT_THAT(all(path, 65536), ElementsAre(1, 2, 3));
  EXPECT_THAT(refusal([&] { all(path, 65537); }), AllOf(HasSubstr(path), HasSubstr("dtype = \"uint32\""), HasSubstr("model.vocab = 65537")));
  EXPECT_THAT(all(with(path, TokenDtype::uint16), 65537), ElementsAre(1, 2, 3));
}

TEST_F(BareIdsTest, WiderIdsThanTheyAreTakenForAreWarnedOf) {
  std::vector<std::int64_t> ids(1000);
  std::iota(ids.begin(), ids.end(), 1);
  for (const int width : {4, 8}) {
    const std::string path = text("wide.bin", little_endian(ids, width));
    EXPECT_THAT(warning(path, 5000), AllOf(HasSubstr(path), HasSubstr("every second id in it is 0")));
    EXPECT_EQ(warning(with(path, TokenDtype::uint32), 5000), "");
  }
  EXPECT_EQ(warning(text("narrow.bin", little_endian(ids, 2)), 5000), "");
  EXPECT_EQ(warning(text("zeros.bin", std::string(4000, '\0')), 5000), "") << "a file of zeros says nothing";
  ids.assign(1000, 7);
  for (std::size_t i = 1; i < ids.size(); i += 2) ids[i] = i == 501 ? 3 : 0;
  EXPECT_EQ(warning(text("almost.bin", little_endian(ids, 2)), 5000), "");
}

TEST_F(BareIdsTest, AFileThatSaysItselfIsNotContradicted) {
  const std::string bin = megatron("m", {{1, 2, 3}});
  EXPECT_THAT(refusal([&] { all(with(bin, TokenDtype::uint16), 100); }), AllOf(HasSubstr("Megatron, int32"), HasSubstr("leave dtype out")));
  EXPECT_THAT(all(with(bin, TokenDtype::int32), 100), ElementsAre(1, 2, 3));
  const std::string llmc = tokens("l.bin", {5, 6}, llmc_header(20240520, 1, 2));
  EXPECT_THAT(refusal([&] { all(with(llmc, TokenDtype::uint32), 100); }), HasSubstr("llm.c, uint16"));
  EXPECT_THAT(refusal([&] { all(with(text("a.jsonl", "{\"tokens\": [1]}"), TokenDtype::uint32), 100); }), HasSubstr("leave dtype out"));
}

TEST_F(BareIdsTest, AByteOrderMarkIsNoText) {
  EXPECT_THAT(all(text("a.txt", "\xef\xbb\xbfhi"), 256), ElementsAre('h', 'i'));
  EXPECT_THAT(all(text("b.txt", "h\xef\xbb\xbf"), 256), ElementsAre('h', 0xef, 0xbb, 0xbf)) << "a mark elsewhere is a character";
  EXPECT_THAT(all(text("a.jsonl", "\xef\xbb\xbf{\"tokens\": [4]}\n{\"tokens\": [5]}\n"), 256), ElementsAre(4, 5));
  for (const char* start : {"\xff\xfeh", "\xfe\xff\x01h"}) {
    EXPECT_THAT(refusal([&] { all(text("u.txt", std::string_view(start, 4)), 256); }), HasSubstr("UTF-16"));
  }
  EXPECT_THAT(refusal([&] { all(text("only.txt", "\xef\xbb\xbf"), 256); }), HasSubstr("it is empty"));
}

}  // namespace
}  // namespace gsnake::data
