// A commit's state in other pieces than it was committed in.
#include "checkpoint/pieces.h"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "checkpoint/shared_objects.h"
#include "checkpoint/start_state.h"

namespace gsnake::checkpoint {
namespace {

using namespace store::testing;
using store::kExtentAlignment;

class Pieces : public ::testing::Test {
 protected:
  void SetUp() override {
    run_.create();
    run_.commit(1);
    run_.end();
  }
  // Some of the state, in order, cut at random, with gaps or without.
  static std::vector<store::Extent> random_pieces(const store::Layout& layout, std::mt19937_64& random, bool gaps) {
    std::vector<store::Extent> pieces;
    for (const store::Kind kind : store::kStateKinds) {
      const std::vector<std::uint64_t>& sizes = layout.kinds[core::index_of(kind)].padded_bytes;
      for (std::uint32_t object = 0; object < sizes.size(); ++object) {
        for (std::uint64_t offset = 0; offset < sizes[object];) {
          const std::uint64_t bytes = std::min((1 + random() % 90) * kExtentAlignment, sizes[object] - offset);
          if (!gaps || random() % 2 == 0) pieces.push_back({kind, object, offset, bytes});
          offset += bytes;
        }
      }
    }
    std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return std::tuple(a.kind, a.object, a.offset) < std::tuple(b.kind, b.object, b.offset); });
    return pieces;
  }

  TemporaryDirectory directory_{in_memory()};
  SharedRun run_{directory_.path(), 3};
};

TEST_F(Pieces, OfAnyCutAreWhatStandsThere) {
  const auto store = run_.read();
  std::mt19937_64 random(2);
  for (int trial = 0; trial < 20 && !HasFailure(); ++trial) {
    const std::vector<store::Extent> pieces = random_pieces(store->layout(), random, trial % 2 == 0);
    const memory::AnonymousMemory block(90 * kExtentAlignment);
    std::size_t taken = 0;
    read_in_pieces(*store, pieces, {[&] { return block.data(); }, [&](std::size_t piece, std::span<const std::byte> bytes) {
                                      EXPECT_EQ(piece, taken++);
                                      ASSERT_EQ(bytes.size(), pieces[piece].bytes);
                                      const memory::AnonymousMemory expected(bytes.size());
                                      fill_whole(expected.data(), pieces[piece], 1);
                                      ASSERT_EQ(std::memcmp(expected.data(), bytes.data(), bytes.size()), 0) << piece;
                                    }});
    EXPECT_EQ(taken, pieces.size());
  }
}

TEST_F(Pieces, ThatTheCommitDoesNotCoverAreRefused) {
  const auto store = run_.read();
  const memory::AnonymousMemory block(2 * kExtentAlignment);
  const store::Extent beyond{store::Kind::weights, 0, store->layout().kinds[0].padded_bytes[0] - kExtentAlignment, 2 * kExtentAlignment};
  test::message_of(ErrorKind::storage, [&] { read_in_pieces(*store, std::vector{beyond}, {[&] { return block.data(); }, [](std::size_t, auto) { FAIL(); }}); });
}

schedule::Map map_for_reading(std::uint64_t chunk_grains) {
  schedule::Problem problem;
  for (const SharedObject& shared : shared_objects()) schedule::add_unit(problem, object_of(shared));
  problem.activation_bytes = 400;
  problem.ids_bytes = 80;
  problem.chunk_elements = chunk_grains * schedule::kGrain;
  return schedule::make_map(problem, {});
}

TEST_F(Pieces, OfWeightsThatAreSampledAreCheckedHoweverTheyWereCut) {
  for (const std::uint64_t chunk_grains : {1, 3, 64}) {
    const schedule::Map map = map_for_reading(chunk_grains);
    const auto store = run_.read();
    std::vector<bool> known(map.extents.size(), false);
    for (const KnownChecksum& checksum : find_checksums(*store, map, nullptr, StartState::sampled, {})) {
      const store::Extent& extent = map.extents[static_cast<std::size_t>(checksum.extent)];
      const memory::AnonymousMemory expected(extent.bytes);
      fill_whole(expected.data(), extent, 1);
      EXPECT_EQ(checksum.value, store::checksum_of({expected.data(), extent.bytes}));
      known[static_cast<std::size_t>(checksum.extent)] = true;
    }
    for (std::size_t i = 0; i < map.extents.size(); ++i) EXPECT_TRUE(known[i] || map.extents[i].kind != store::Kind::weights) << i;
  }
  std::fstream(run_.folders[2].ssd_paths[0] + "/gsnake-weights.bin", std::ios::in | std::ios::out) << "damage";
  const auto store = run_.read();
  const std::string message = test::message_of(ErrorKind::storage, [&] { find_checksums(*store, map_for_reading(3), nullptr, StartState::sampled, {}); });
  EXPECT_THAT(message, ::testing::HasSubstr("rank-2/of-3/gsnake-weights.bin"));
}

}  // namespace
}  // namespace gsnake::checkpoint
