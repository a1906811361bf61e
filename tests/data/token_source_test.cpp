#include "data/token_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <numeric>
#include <thread>

#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class TokenSourceTest : public test::TempFiles {
 protected:
  static TokenSource open(const std::vector<DataFile>& files, std::int64_t vocab = 65536, std::int64_t separator = -1) {
    return {files, vocab, separator, Access::sequential};
  }

  static std::vector<std::int64_t> all(const TokenSource& source) {
    std::vector<std::int64_t> tokens(static_cast<std::size_t>(source.size()));
    source.read(0, tokens);
    return tokens;
  }
};

TEST_F(TokenSourceTest, TextIsItsBytes) { EXPECT_THAT(all(open({text("a.txt", "A\n\xff")}, 256)), ElementsAre(65, 10, 255)); }

TEST_F(TokenSourceTest, NanoGptBinIsUint16) { EXPECT_THAT(all(open({tokens("a.bin", {1, 50303, 256})})), ElementsAre(1, 50303, 256)); }

TEST_F(TokenSourceTest, LlmcHeaderIsSkipped) {
  const auto path = tokens("a.bin", {7, 8, 9}, llmc_header(20240520, 1, 3));
  EXPECT_THAT(all(open({path})), ElementsAre(7, 8, 9));
}

TEST_F(TokenSourceTest, FilesAreOneSequenceInTheirOrder) {
  const auto source = open({text("b.txt", "b"), tokens("a.bin", {300, 301}), text("c.txt", "cd")});
  EXPECT_THAT(all(source), ElementsAre('b', 300, 301, 'c', 'd'));
  EXPECT_THAT(source.describe(), AllOf(HasSubstr("b.txt"), HasSubstr("and 2 more files")));
}

TEST_F(TokenSourceTest, SeparatorStandsBetweenFilesOnly) {
  const auto source = open({text("a.txt", "ab"), text("b.txt", "c"), text("c.txt", "d")}, 257, 256);
  EXPECT_THAT(all(source), ElementsAre('a', 'b', 256, 'c', 256, 'd'));
}

TEST_F(TokenSourceTest, EveryPartOfTheSequenceCanBeRead) {
  const auto source = open({text("a.txt", "abc"), text("b.txt", "d"), text("c.txt", "efgh")}, 257, 256);
  const auto whole = all(source);
  for (std::size_t first = 0; first < whole.size(); ++first) {
    for (std::size_t count = 0; first + count <= whole.size(); ++count) {
      std::vector<std::int64_t> part(count);
      source.read(static_cast<std::int64_t>(first), part);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first))) << first << " " << count;
    }
  }
}

TEST_F(TokenSourceTest, ReadsLongerThanItsBufferAreWhole) {
  std::vector<int> ids(20000);
  std::iota(ids.begin(), ids.end(), 5);
  const auto got = all(open({tokens("a.bin", ids, llmc_header(20240520, 1, 20000))}));
  EXPECT_TRUE(std::equal(got.begin(), got.end(), ids.begin(), ids.end()));
}

TEST_F(TokenSourceTest, SeveralThreadsReadAtOnce) {
  const auto source = open({text("a.txt", std::string(30000, 'x')), text("b.txt", std::string(30000, 'y'))}, 256);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&source, &wrong, t] {
      std::vector<std::int64_t> part(100);
      for (std::int64_t first = 29900; first < 30000; ++first) {
        source.read(first, part);
        for (std::int64_t i = 0; i < 100; ++i) wrong[t] += part[static_cast<std::size_t>(i)] != (first + i < 30000 ? 'x' : 'y');
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

TEST_F(TokenSourceTest, RefusesFilesThatCannotBeRead) {
  EXPECT_THAT(refusal([&] { open({(folder_ / "absent.txt").string()}); }), AllOf(HasSubstr("absent.txt"), HasSubstr("No such file")));
  EXPECT_THAT(refusal([&] { open({folder_.string()}); }), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal([&] { open({text("empty.txt", "")}); }), AllOf(HasSubstr("empty.txt"), HasSubstr("it is empty")));
  EXPECT_THAT(refusal([&] { open({}); }), HasSubstr("no files"));
  const auto fifo = (folder_ / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(refusal([&] { open({fifo}); }), HasSubstr("not a regular file"));
}

TEST_F(TokenSourceTest, RefusesMalformedBinFiles) {
  EXPECT_THAT(refusal([&] { open({text("odd.bin", "abc")}); }), HasSubstr("3 B is no whole number of uint16 tokens"));
  EXPECT_THAT(refusal([&] { open({tokens("short.bin", {1, 2}, llmc_header(20240520, 1, 3))}); }), HasSubstr("counts 3 tokens"));
  EXPECT_THAT(refusal([&] { open({tokens("odd_llmc.bin", {1}, llmc_header(20240520, 1, 1) + "x")}); }), HasSubstr("is it cut short?"));
  EXPECT_THAT(refusal([&] { open({tokens("none.bin", {}, llmc_header(20240520, 1, 0))}); }), HasSubstr("it is empty"));
  EXPECT_THAT(refusal([&] { open({tokens("version.bin", {1}, llmc_header(20240520, 2, 1))}); }), HasSubstr("version 2"));
  EXPECT_THAT(refusal([&] {
                open({tokens("wide.bin", {1, 0}, llmc_header(20240801, 1, 1))});
              }),
              HasSubstr("version 1; behind magic 20240801 version 7"));
  EXPECT_THAT(refusal([&] { open({tokens("lie.bin", {1}, llmc_header(20240801, 7, 0xffffffff))}); }),
              HasSubstr("counts 4294967295 tokens"));
}

TEST_F(TokenSourceTest, LlmcTokensMayBeUint32) {
  const auto path = text("a.bin", llmc_header(20240801, 7, 3) + little_endian({70000, 1, 128255}, 4));
  EXPECT_THAT(all(open({path}, 128256)), ElementsAre(70000, 1, 128255));
  EXPECT_THAT(refusal([&] { all(open({path}, 128255)); }), HasSubstr("token id 128255 at offset 1032 is not below model.vocab = 128255"));
}

TEST_F(TokenSourceTest, RefusesWhatItsNameSaysNothingOf) {
  EXPECT_THAT(refusal([&] { open({text("a.bin", std::string("\x93NUMPY\1\0", 8))}); }), HasSubstr("a NumPy array"));
  EXPECT_THAT(refusal([&] { open({text("a.txt", "\x1f\x8b--")}); }), HasSubstr("compressed by gzip"));
  EXPECT_THAT(refusal([&] { open({tokens("a.tokens", {1}, llmc_header(20240520, 1, 1))}); }),
              HasSubstr("give it a name that ends in .bin"));
  EXPECT_THAT(refusal([&] { open({text("lone.bin", std::string("MMIDIDX\0\0", 9) + "-")}); }), HasSubstr("name the .bin beside it"));
}

TEST_F(TokenSourceTest, RefusesATokenOutsideTheVocabularyWithFileAndOffset) {
  const auto source = open({text("a.txt", "ab"), tokens("b.bin", {1, 2, 500}, llmc_header(20240520, 1, 3))}, 256);
  std::vector<std::int64_t> part(4);
  source.read(0, part);
  EXPECT_THAT(refusal([&] { source.read(1, part); }),
              AllOf(HasSubstr("b.bin"), HasSubstr("token id 500 at offset 1028 is not below model.vocab = 256")));
}

TEST_F(TokenSourceTest, AFileCutShortMeanwhileIsAnError) {
  const auto path = text("a.txt", "abcdef");
  const auto source = open({path});
  std::filesystem::resize_file(path, 3);
  std::vector<std::int64_t> part(6);
  EXPECT_THAT(refusal([&] { source.read(0, part); }), AllOf(HasSubstr("a.txt"), HasSubstr("it ends at offset 3")));
}

}  // namespace
}  // namespace gsnake::data
