#include "data/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kNo = kIgnoredLabel;

class WindowsTest : public test::TempFiles {
 protected:
  static Windows open(const std::vector<DataFile>& files, std::int64_t length, Documents documents, std::int64_t separator = -1) {
    return {TokenSource(files, 1000, separator, Access::random), length, documents};
  }

  struct Row {
    std::vector<std::int64_t> inputs;
    std::vector<std::int64_t> labels;
  };
  static Row row(Windows& windows, std::uint64_t window, std::size_t length) {
    Row row{std::vector<std::int64_t>(length), std::vector<std::int64_t>(length)};
    windows.read(window, row.inputs, row.labels);
    return row;
  }
};

TEST_F(WindowsTest, MaskedDocumentsAreRowsOfTheStreamWithoutLabelsThatBeginOne) {
  auto windows = open({megatron("a", {{1, 2}, {3, 4, 5}, {6}, {7}})}, 3, Documents::masked);
  ASSERT_EQ(windows.count(), 2U);
  EXPECT_THAT(row(windows, 0, 3).inputs, ElementsAre(1, 2, 3));
  EXPECT_THAT(row(windows, 0, 3).labels, ElementsAre(2, kNo, 4));
  EXPECT_THAT(row(windows, 1, 3).inputs, ElementsAre(4, 5, 6));
  EXPECT_THAT(row(windows, 1, 3).labels, ElementsAre(5, kNo, kNo));
}

TEST_F(WindowsTest, MaskedDocumentsEndWithTheirFilesAndSeparators) {
  auto windows = open({tokens("a.bin", {1, 9, 2, 3}), tokens("b.bin", {4, 5})}, 6, Documents::masked, 9);
  EXPECT_THAT(row(windows, 0, 6).inputs, ElementsAre(1, 9, 2, 3, 9, 4));
  EXPECT_THAT(row(windows, 0, 6).labels, ElementsAre(9, kNo, 3, 9, kNo, 5)) << "a separator is learnt, what follows it is not";
  auto no_separator = open({tokens("a.bin", {1, 9, 2, 3}), tokens("b.bin", {4, 5})}, 5, Documents::masked);
  EXPECT_THAT(row(no_separator, 0, 5).labels, ElementsAre(9, 2, 3, kNo, 5));
}

TEST_F(WindowsTest, SeparateDocumentsAreCutByThemselvesAndFilledUp) {
  auto windows = open({megatron("a", {{1, 2, 3, 4, 5}, {6}, {}, {7, 8}, {9, 10, 11, 12}})}, 3, Documents::separate);
  ASSERT_EQ(windows.count(), 4U) << "2 of the first, none of those of one token and none, 1 of the others";
  EXPECT_THAT(row(windows, 0, 3).inputs, ElementsAre(1, 2, 3));
  EXPECT_THAT(row(windows, 0, 3).labels, ElementsAre(2, 3, 4));
  EXPECT_THAT(row(windows, 1, 3).inputs, ElementsAre(4, 5, 0));
  EXPECT_THAT(row(windows, 1, 3).labels, ElementsAre(5, kNo, kNo));
  EXPECT_THAT(row(windows, 2, 3).inputs, ElementsAre(7, 8, 0));
  EXPECT_THAT(row(windows, 2, 3).labels, ElementsAre(8, kNo, kNo));
  EXPECT_THAT(row(windows, 3, 3).labels, ElementsAre(10, 11, 12));
  EXPECT_EQ(windows.longer_documents(), 1);
}

TEST_F(WindowsTest, WindowsAreFoundAmongManyDocumentsOfSeveralFiles) {
  std::vector<std::vector<std::int64_t>> documents;
  for (std::int64_t i = 0; i < 3000; ++i) documents.emplace_back(static_cast<std::size_t>(i % 4), i % 1000);
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"tokens\": [" + std::to_string(i) + ", 500, 501]}\n";
  auto windows = open({megatron("a", documents), text("b.jsonl", lines), text("c.txt", "xyz")}, 2, Documents::separate);
  ASSERT_EQ(windows.count(), 750U * 2 + 40 + 1) << "of every four documents those of 2 and of 3 tokens";
  for (std::uint64_t i = 0; i < 750; ++i) {
    EXPECT_EQ(row(windows, 2 * i, 2).inputs.front(), static_cast<std::int64_t>(4 * i + 2) % 1000);
    EXPECT_EQ(row(windows, 2 * i + 1, 2).inputs.front(), static_cast<std::int64_t>(4 * i + 3) % 1000);
  }
  EXPECT_THAT(row(windows, 1539, 2).inputs, ElementsAre(39, 500));
  EXPECT_THAT(row(windows, 1540, 2).inputs, ElementsAre('x', 'y'));
}

TEST_F(WindowsTest, ExamplesKeepTheirMasksHoweverTheyAreCut) {
  const auto path = text("a.jsonl", "{\"tokens\": [1, 2, 3, 4], \"mask\": [0, 0, 1, 1]}\n{\"tokens\": [5, 6, 7], \"mask\": [1, 1, 0]}\n");
  auto separate = open({path}, 2, Documents::separate);
  ASSERT_EQ(separate.count(), 3U);
  EXPECT_THAT(row(separate, 0, 2).labels, ElementsAre(kNo, 3));
  EXPECT_THAT(row(separate, 1, 2).labels, ElementsAre(4, kNo));
  EXPECT_THAT(row(separate, 2, 2).labels, ElementsAre(6, kNo));
  auto joined = open({path}, 6, Documents::joined);
  EXPECT_THAT(row(joined, 0, 6).labels, ElementsAre(kNo, 3, 4, 5, 6, kNo));
}

TEST_F(WindowsTest, AMaskFileSaysWhatCounts) {
  DataFile file(megatron("a", {{1, 2, 3}, {4, 5}}));
  file.mask = text("a.mask", std::string("\0\1\0\0\1", 5));
  auto windows = open({file}, 4, Documents::joined);
  EXPECT_THAT(row(windows, 0, 4).labels, ElementsAre(2, kNo, kNo, 5));
  file.mask = megatron("a_mask", {{0, 1, 0}, {0, 1}}, 1, 1);
  auto megatron_mask = open({file}, 4, Documents::joined);
  EXPECT_THAT(row(megatron_mask, 0, 4).labels, ElementsAre(2, kNo, kNo, 5));
  DataFile plain(tokens("b.bin", {1, 2, 3}));
  plain.mask = text("b.mask", std::string("\1\0\1", 3));
  auto nanogpt = open({plain}, 2, Documents::joined);
  EXPECT_THAT(row(nanogpt, 0, 2).labels, ElementsAre(kNo, 3));
}

TEST_F(WindowsTest, RefusesMasksThatAreNotTheFiles) {
  DataFile file(tokens("a.bin", {1, 2, 3}));
  const auto refusal = [&](const std::string& mask) -> std::string {
    file.mask = mask;
    try {
      auto windows = open({file}, 2, Documents::joined);
      row(windows, 0, 2);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      return error.what();
    }
    return "not refused";
  };
  EXPECT_THAT(refusal(text("short.mask", std::string(2, '\0'))), HasSubstr("ends after 2 values of 1 B, but"));
  EXPECT_THAT(refusal(text("wrong.mask", std::string("\1\2\1", 3))), HasSubstr("wrong.mask: value 2 at offset 1 is no mask"));
  EXPECT_THAT(refusal((folder_ / "absent.mask").string()), HasSubstr("absent.mask"));
}

TEST_F(WindowsTest, ABoundaryIsWhereADocumentBegins) {
  const auto windows = open({megatron("a", {{1, 2, 3, 4, 5, 6, 7}, {1, 2}, {1, 2, 3, 4}})}, 2, Documents::separate);
  ASSERT_EQ(windows.count(), 3U + 1 + 2);
  EXPECT_EQ(windows.boundary_from(0), 0U);
  EXPECT_EQ(windows.boundary_from(1), 3U);
  EXPECT_EQ(windows.boundary_from(4), 4U);
  EXPECT_EQ(windows.boundary_from(5), 6U);
  EXPECT_EQ(windows.boundary_from(6), 6U);
}

TEST_F(WindowsTest, RefusesSeparateDocumentsThatNobodyTold) {
  try {
    open({tokens("a.bin", {1, 2, 3})}, 2, Documents::separate);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("does not say where its documents begin"));
  }
  EXPECT_THROW(open({text("a.jsonl", "{\"tokens\": [1]}")}, 2, Documents::separate), Error);
}

}  // namespace
}  // namespace gsnake::data
