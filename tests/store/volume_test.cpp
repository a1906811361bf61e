#include "store/layout/volume.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

#include "store_test_support.h"

namespace gsnake::store {
namespace {

const std::vector<std::vector<double>> kWeights{{1.0},      {3.5}, {1.0, 1.0}, {1.0, 0.5, 0.25}, {0.3, 1.0, 0.07, 0.9}, {16, 1, 1, 1, 5},
                                                {1.0, 1e-9}};

std::vector<Piece> pieces_of(const StripedVolume& volume, std::uint64_t offset, std::uint64_t bytes) {
  std::vector<Piece> pieces(volume.max_pieces(bytes));
  pieces.resize(volume.map(offset, bytes, pieces));
  return pieces;
}

TEST(StripedVolume, EveryBlockHasOnePlaceInsideItsFileAndFilesHaveNoGaps) {
  constexpr std::uint64_t kBlock = 4096;
  for (const auto& weights : kWeights) {
    const StripedVolume volume(weights);
    for (const std::uint64_t bytes : {kBlock, kStripeBytes, kStripeBytes + kBlock, 37 * kStripeBytes + 5 * kBlock}) {
      std::vector<std::set<std::uint64_t>> used(weights.size());
      for (std::uint64_t offset = 0; offset < bytes; offset += kBlock) {
        const Piece piece = volume.piece_at(offset, kBlock);
        ASSERT_EQ(piece.bytes, kBlock);
        ASSERT_TRUE(used[static_cast<std::size_t>(piece.path)].insert(piece.file_offset).second) << "two blocks in one place";
      }
      std::uint64_t sum = 0;
      for (std::size_t path = 0; path < weights.size(); ++path) {
        const std::uint64_t file_bytes = volume.file_bytes(static_cast<int>(path), bytes);
        ASSERT_EQ(used[path].size() * kBlock, file_bytes);
        if (file_bytes > 0) {
          ASSERT_EQ(*used[path].rbegin() + kBlock, file_bytes);
        }
        sum += file_bytes;
      }
      ASSERT_EQ(sum, bytes);
    }
  }
}

TEST(StripedVolume, RandomRangesAgreeWithTheirSingleBytes) {
  std::mt19937_64 random(7);
  for (const auto& weights : kWeights) {
    const StripedVolume volume(weights);
    for (int trial = 0; trial < 200; ++trial) {
      const std::uint64_t offset = random() % (100 * kStripeBytes);
      const std::uint64_t bytes = 1 + random() % (20 * kStripeBytes);
      std::uint64_t done = 0;
      const Piece* before = nullptr;
      const std::vector<Piece> pieces = pieces_of(volume, offset, bytes);
      for (const Piece& piece : pieces) {
        ASSERT_EQ(piece.data_offset, done);
        for (const std::uint64_t probe : {std::uint64_t{0}, piece.bytes / 2, piece.bytes - 1}) {
          const Piece single = volume.piece_at(offset + done + probe, 1);
          ASSERT_EQ(single.path, piece.path);
          ASSERT_EQ(single.file_offset, piece.file_offset + probe);
        }
        if (before != nullptr) {
          ASSERT_NE(before->path, piece.path) << "neighbours in one file were not merged";
        }
        before = &piece;
        done += piece.bytes;
      }
      ASSERT_EQ(done, bytes);
    }
  }
}

TEST(StripedVolume, SharesFollowTheWeights) {
  const std::uint64_t bytes = 4096 * kStripeBytes;
  const StripedVolume volume({2.0, 1.0, 0.5});
  EXPECT_EQ(volume.counts(), (std::vector<std::uint64_t>{4, 2, 1}));
  for (int path = 0; path < 3; ++path) {
    const double share = static_cast<double>(volume.file_bytes(path, bytes)) / static_cast<double>(bytes);
    EXPECT_NEAR(share, std::vector<double>({4.0 / 7, 2.0 / 7, 1.0 / 7})[static_cast<std::size_t>(path)], 0.001);
  }
}

// A transfer of a few stripes is to use all drives, not one after the other.
TEST(StripedVolume, SharesAreSpreadOverThePeriod) {
  const StripedVolume volume({1.0, 1.0, 0.5});
  std::map<int, int> seen;
  for (std::uint64_t stripe = 0; stripe < 5; ++stripe) ++seen[volume.piece_at(stripe * kStripeBytes, 1).path];
  EXPECT_EQ(seen, (std::map<int, int>{{0, 2}, {1, 2}, {2, 1}}));
  for (std::uint64_t stripe = 0; stripe + 1 < 5; ++stripe) {
    EXPECT_NE(volume.piece_at(stripe * kStripeBytes, 1).path, volume.piece_at((stripe + 1) * kStripeBytes, 1).path);
  }
}

TEST(StripedVolume, ScaledWeightsGiveTheSameMap) {
  const StripedVolume one({1.0, 0.75, 0.25});
  const StripedVolume other({4e9, 3e9, 1e9});
  for (std::uint64_t stripe = 0; stripe < 64; ++stripe) {
    const Piece a = one.piece_at(stripe * kStripeBytes, 1);
    const Piece b = other.piece_at(stripe * kStripeBytes, 1);
    EXPECT_EQ(a.path, b.path);
    EXPECT_EQ(a.file_offset, b.file_offset);
  }
}

TEST(StripedVolume, AnEmptyRangeHasNoPieces) {
  const StripedVolume volume({1.0, 1.0});
  EXPECT_EQ(volume.max_pieces(0), 0U);
  EXPECT_TRUE(pieces_of(volume, 5 * kStripeBytes, 0).empty());
}

TEST(StripedVolume, RefusesWeightsThatAreNoPositiveNumbers) {
  for (const auto& weights : std::vector<std::vector<double>>{{}, {1.0, 0.0}, {-1.0}, {1.0, std::nan("")}, {HUGE_VAL}}) {
    testing::message_of(ErrorKind::usage, [&] { StripedVolume volume(weights); });
  }
}

}  // namespace
}  // namespace gsnake::store
