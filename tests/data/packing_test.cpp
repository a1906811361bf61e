#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "data/batches.h"
#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kNo = kIgnoredLabel;
constexpr std::int64_t kVocab = 65536;

using Tokens = std::vector<std::int64_t>;

class PackingTest : public test::TempFiles {
 protected:
  static Windows open(const std::vector<DataFile>& files, std::int64_t length, std::int64_t separator = -1) {
    return {TokenSource(files, kVocab, separator, Access::random), length, Documents::packed};
  }
  static BatchStream stream(const std::vector<DataFile>& files, BatchShape shape, WindowOrder order) {
    std::vector<Part> parts;
    parts.push_back({open(files, shape.sequence_length), 0, 0, 1.0});
    parts.back().count = parts.back().windows.count();
    return {std::move(parts), shape, order, 1};
  }

  struct Row {
    Tokens inputs;
    Tokens labels;
    std::vector<std::int32_t> starts;
  };
  static Row row(Windows& windows, std::uint64_t window, std::size_t length) {
    Row row{Tokens(length), Tokens(length), {7, 7}};
    windows.read(window, row.inputs, row.labels, &row.starts);
    return row;
  }

  // `count` documents of 0 to `most` tokens, no token in two of them.
  static std::vector<Tokens> documents(int count, int most, std::uint32_t seed) {
    std::mt19937 draw(seed);
    std::vector<Tokens> documents;
    std::int64_t next = 0;
    for (int d = 0; d < count; ++d) {
      documents.emplace_back(draw() % static_cast<std::uint32_t>(most + 1));
      for (auto& token : documents.back()) token = next++ % kVocab;
    }
    return documents;
  }

  static std::string line(const Tokens& tokens) {
    std::string ids;
    for (const auto token : tokens) ids += (ids.empty() ? "" : ", ") + std::to_string(token);
    return "{\"tokens\": [" + ids + "]}\n";
  }
};

TEST_F(PackingTest, ShortDocumentsShareRowsAndLongOnesFillTheirOwn) {
  auto windows =
      open({megatron("a", {{1, 2, 3, 4}, {10, 11}, {20, 21, 22}, {30}, {40, 41, 42, 43, 44, 45, 46, 47, 48, 49}, {}, {50, 51, 52}})}, 4);
  ASSERT_EQ(windows.count(), 5U);
  EXPECT_THAT(row(windows, 0, 4).inputs, ElementsAre(40, 41, 42, 43));
  EXPECT_THAT(row(windows, 0, 4).labels, ElementsAre(41, 42, 43, 44));
  EXPECT_THAT(row(windows, 0, 4).starts, ElementsAre(0));
  EXPECT_THAT(row(windows, 1, 4).inputs, ElementsAre(44, 45, 46, 47));
  EXPECT_THAT(row(windows, 1, 4).labels, ElementsAre(45, 46, 47, 48)) << "as rows of one document are cut";
  EXPECT_THAT(row(windows, 2, 4).inputs, ElementsAre(1, 2, 3, 10)) << "the longest that is left, and what its room just holds";
  EXPECT_THAT(row(windows, 2, 4).labels, ElementsAre(2, 3, 4, 11)) << "no document foretells another";
  EXPECT_THAT(row(windows, 2, 4).starts, ElementsAre(0, 3));
  EXPECT_THAT(row(windows, 3, 4).inputs, ElementsAre(20, 21, 50, 51));
  EXPECT_THAT(row(windows, 3, 4).labels, ElementsAre(21, 22, 51, 52));
  EXPECT_THAT(row(windows, 3, 4).starts, ElementsAre(0, 2));
  EXPECT_THAT(row(windows, 4, 4).inputs, ElementsAre(48, 0, 0, 0)) << "what was left of the longest";
  EXPECT_THAT(row(windows, 4, 4).labels, ElementsAre(49, kNo, kNo, kNo));
  EXPECT_THAT(row(windows, 4, 4).starts, ElementsAre(0, 1)) << "a filled-up tail is one more";
  EXPECT_EQ(windows.longer_documents(), 1);
  EXPECT_DOUBLE_EQ(windows.filled(), 17.0 / 20.0);
}

TEST_F(PackingTest, MasksHoldAndTailsAreFilledWithTheSeparator) {
  const auto path = text("a.jsonl", "{\"tokens\": [1, 2, 3], \"mask\": [0, 0, 1]}\n{\"tokens\": [4, 5, 6], \"mask\": [1, 1, 0]}\n");
  auto windows = open({path}, 6, 9);
  ASSERT_EQ(windows.count(), 1U);
  EXPECT_THAT(row(windows, 0, 6).inputs, ElementsAre(1, 2, 4, 5, 9, 9));
  EXPECT_THAT(row(windows, 0, 6).labels, ElementsAre(kNo, 3, 5, kNo, kNo, kNo));
  EXPECT_THAT(row(windows, 0, 6).starts, ElementsAre(0, 2, 4));
}

// Of every kind of file that lists documents, over the ends of files and of the 1024 that are packed at a time.
TEST_F(PackingTest, APassHasEveryDocumentOnceAndWhole) {
  constexpr std::int64_t kLength = 50;
  const auto all = documents(2600, 70, 3);
  std::vector<DataFile> files{megatron("a", {all.begin(), all.begin() + 1500})};
  std::string lines;
  std::vector<Tokens> kept(all.begin(), all.begin() + 1500);
  for (auto document = all.begin() + 1500; document != all.end(); ++document) {
    if (document->empty()) continue;
    lines += line(*document);
    kept.push_back(*document);
  }
  files.emplace_back(text("b.jsonl", lines));
  for (int file = 0; file < 30; ++file) {
    const std::string words = std::string(1, static_cast<char>('A' + file)) + "bcde";
    files.emplace_back(text(std::to_string(file) + ".txt", words));
    kept.emplace_back(words.begin(), words.end());
  }
  std::map<Tokens, int> expected;  // a document as its rows have it: inputs, and the label of the last
  for (const auto& document : kept) {
    for (std::size_t first = 0; first + 1 < document.size(); first += kLength) {
      const auto end = std::min(document.size(), first + kLength + 1);
      ++expected[Tokens(document.begin() + static_cast<std::ptrdiff_t>(first), document.begin() + static_cast<std::ptrdiff_t>(end))];
    }
  }
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    auto batches = stream(files, {1, 1, kLength}, order);
    std::map<Tokens, int> found;
    Batch batch;
    for (std::uint64_t window = 0; window < batches.windows(); ++window) {
      batches.next(batch);
      ASSERT_EQ(batch.starts.size(), 1U);
      auto starts = batch.starts.front();
      ASSERT_EQ(starts.front(), 0);
      starts.push_back(kLength);
      for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        ASSERT_LT(starts[s], starts[s + 1]);
        Tokens piece(batch.inputs.begin() + starts[s], batch.inputs.begin() + starts[s + 1]);
        for (auto i = starts[s]; i + 1 < starts[s + 1]; ++i) {
          const auto label = batch.labels[static_cast<std::size_t>(i)];
          ASSERT_TRUE(label == kNo || label == batch.inputs[static_cast<std::size_t>(i) + 1]);
        }
        const auto last = batch.labels[static_cast<std::size_t>(starts[s + 1]) - 1];
        if (last == kNo) {
          EXPECT_EQ(s + 2, starts.size()) << "only a tail is filled up";
          EXPECT_THAT(piece, testing::Each(0));
          continue;
        }
        piece.push_back(last);
        ++found[piece];
      }
    }
    EXPECT_EQ(found, expected);
  }
}

TEST_F(PackingTest, SeekEqualsReadingThrough) {
  const auto file = megatron("a", documents(3000, 30, 5));
  for (const auto order : {WindowOrder::sequential, WindowOrder::shuffled}) {
    constexpr BatchShape kShape{.micro_batches = 3, .rows = 2, .sequence_length = 32};
    auto straight = stream({file}, kShape, order);
    const auto steps = static_cast<int>(straight.windows() / 6) + 3;  // into the second pass
    Batch expected;
    Batch got;
    for (int step = 0; step < steps; ++step) {
      const auto cursor = straight.cursor();
      straight.next(expected);
      if (step % 40 != 0 && step < steps - 3) continue;
      auto resumed = stream({file}, kShape, order);
      resumed.seek(cursor);
      resumed.next(got);
      ASSERT_EQ(got.inputs, expected.inputs) << "step " << step;
      ASSERT_EQ(got.labels, expected.labels);
      ASSERT_EQ(got.starts, expected.starts);
    }
  }
}

// Lengths as those of instruction data: log-normal, a median of 200 tokens, 1 in 100 above 1900.
TEST_F(PackingTest, LittleRoomIsWastedOnTypicalDocuments) {
  std::mt19937 draw(1);
  std::normal_distribution<double> normal;
  std::vector<Tokens> all;
  for (int d = 0; d < 4096; ++d)
    all.emplace_back(static_cast<std::size_t>(std::clamp(200.0 * std::exp(0.97 * normal(draw)), 2.0, 20000.0)), 1);
  const auto file = megatron("a", all);
  for (const auto& [length, filled] : {std::pair(512, 0.99), std::pair(1024, 0.99), std::pair(2048, 0.99), std::pair(8192, 0.97)}) {
    const auto windows = open({file}, length);
    RecordProperty("filled_" + std::to_string(length), std::to_string(windows.filled()));
    EXPECT_GT(windows.filled(), filled) << length;
  }
}

TEST_F(PackingTest, StartsAreRefilledInTheirMemoryAndGoWithTheirData) {
  auto batches = stream({megatron("a", documents(64, 9, 2))}, {1, 1, 32}, WindowOrder::sequential);
  Batch batch;
  for (std::uint64_t window = 0; window < batches.windows(); ++window) batches.next(batch);
  const auto* rows = batch.starts.data();
  const auto* starts = batch.starts.front().data();
  for (std::uint64_t window = 0; window < batches.windows(); ++window) batches.next(batch);
  EXPECT_EQ(batch.starts.data(), rows);
  EXPECT_EQ(batch.starts.front().data(), starts);
  BatchStream joined(TokenSource({text("a.txt", "abcdefgh")}, kVocab, -1, Access::random), {1, 1, 4}, WindowOrder::sequential, 1);
  joined.next(batch);
  EXPECT_THAT(batch.starts, IsEmpty());
}

TEST_F(PackingTest, RefusesWhatListsNoDocumentsOrHasNone) {
  try {
    open({tokens("a.bin", {1, 2, 3})}, 2);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("data.documents = \"packed\""));
    EXPECT_THAT(error.what(), HasSubstr("does not say where its documents begin"));
  }
  EXPECT_THAT(refusal([&] { open({text("a.jsonl", "{\"tokens\": [1]}\n{\"tokens\": [2]}\n")}, 2); }),
              HasSubstr("no document has the two tokens"));
}

}  // namespace
}  // namespace gsnake::data
