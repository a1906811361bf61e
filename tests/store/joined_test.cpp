// Several ranks' shares of a run, read as one.
#include <array>
#include <atomic>
#include <barrier>
#include <fstream>
#include <future>
#include <thread>

#include "shares_support.h"
#include "store/layout/shares.h"
#include "store/manifest/checksum_table.h"

namespace gsnake::store {
namespace {

using namespace testing;
using std::chrono::milliseconds;

class JoinedTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  TemporaryDirectory directory_{in_memory()};
  SharedRun run_{directory_.path(), GetParam()};
};

TEST_P(JoinedTest, SharesAreReadAsTheWhole) {
  run_.create();
  run_.commit(1);
  run_.commit(2);
  run_.end();
  const auto store = run_.read();
  EXPECT_EQ(committed_step(*store), 2U);
  EXPECT_EQ(state_to_json(store->layout()), state_to_json(share_layout(0, 1, 1)));
  expect_whole(*store, 2);
  store->verify({});
  EXPECT_EQ(tiling_fault(store->checksums(), store->layout()), "");
  EXPECT_EQ(store->ssd_paths().size(), 2 * run_.ranks());
}

TEST_P(JoinedTest, ExtentsThatReachOverSeveralRanksAreReadWhole) {
  run_.create();
  run_.commit(1);
  const auto store = run_.read();
  const Extent object = whole_object(store->layout(), index_of(Kind::moment1), 3);
  for (std::uint64_t offset = 0; offset < object.bytes; offset += 61 * kExtentAlignment) {
    for (const std::uint64_t pages : {1, 33, 64, 200}) {
      const Extent part{object.kind, object.object, offset, std::min(pages * kExtentAlignment, object.bytes - offset)};
      std::vector<io::Request> requests(store->max_requests(part.bytes));
      const memory::AnonymousMemory expected(part.bytes);
      const memory::AnonymousMemory got(part.bytes);
      requests.resize(store->plan(io::Direction::read, part, 0, got.data(), nullptr, requests));
      std::uint64_t bytes = 0;
      for (const io::Request& request : requests) {
        bytes += request.size;
        EXPECT_NE(store->path_of(request.file).find("gsnake-moment1.bin"), std::string::npos);
      }
      EXPECT_EQ(bytes, part.bytes);
      fill_whole(expected.data(), part, 1);
      store->read(part, 0, got.data());
      ASSERT_EQ(std::memcmp(expected.data(), got.data(), part.bytes), 0) << offset << " " << pages;
    }
  }
}

TEST_P(JoinedTest, PiecesAreVisitedInTheOrderThatTheyAreAskedForIn) {
  run_.create();
  run_.commit(1);
  const auto store = run_.read();
  std::vector<Checksum> pieces;
  for (const Checksum& piece : store->checksums()) {
    if (piece.extent.kind == Kind::weights && piece.extent.object == 3) pieces.push_back(piece);
  }
  std::sort(pieces.begin(), pieces.end(), [](const Checksum& a, const Checksum& b) { return a.extent.offset < b.extent.offset; });
  std::vector<std::byte> got;
  store->read_committed(pieces, [&](std::size_t, std::span<const std::byte> bytes) { got.insert(got.end(), bytes.begin(), bytes.end()); });
  const Extent object = whole_object(store->layout(), 0, 3);
  ASSERT_EQ(got.size(), object.bytes);
  const memory::AnonymousMemory expected(object.bytes);
  fill_whole(expected.data(), object, 1);
  EXPECT_EQ(std::memcmp(expected.data(), got.data(), object.bytes), 0);
}

TEST_P(JoinedTest, HoldsEveryRanksTrainerOffAsLongAsItLives) {
  run_.create();
  run_.commit(1);
  {
    const auto store = run_.read();
    for (const auto& own : run_.stores) EXPECT_FALSE(own->exclude_readers());
  }
  for (const auto& own : run_.stores) EXPECT_TRUE(own->exclude_readers());
}

INSTANTIATE_TEST_SUITE_P(Ranks, JoinedTest, ::testing::Values(1, 2, 3, 4));

class TwoRanks : public ::testing::Test {
 protected:
  void SetUp() override {
    run_.create();
    run_.commit(1);
    run_.commit(2);
  }
  TemporaryDirectory directory_{in_memory()};
  SharedRun run_{directory_.path(), 2};
};

TEST_F(TwoRanks, AStepThatSomeHavePublishedAndAllPreparedIsTheLast) {
  std::vector<PreparedCommit> prepared;
  for (std::size_t rank = 0; rank < 2; ++rank) prepared.push_back(prepare_share(*run_.stores[rank], 3, rank, 2));
  for (const bool published : {false, true}) {
    if (published) run_.stores[1]->publish(prepared[1]);
    const auto store = run_.read();
    EXPECT_EQ(committed_step(*store), 3U);
    store->verify({});
    expect_whole(*store, 3);
  }
}

TEST_F(TwoRanks, AStepThatOneHasNotPreparedIsNotTheLast) {
  prepare_share(*run_.stores[1], 3, 1, 2);
  const auto store = run_.read();
  EXPECT_EQ(committed_step(*store), 2U);
  store->verify({});
  expect_whole(*store, 2);
}

TEST_F(TwoRanks, ACommitThatOneHasReplacedCountsIfItVerifies) {
  run_.stores[1]->publish(prepare_share(*run_.stores[1], 3, 1, 2));
  {
    const auto store = run_.read();
    EXPECT_EQ(committed_step(*store), 2U);
    expect_whole(*store, 2);
  }
  write_share(*run_.stores[1], 1 - run_.stores[1]->committed_slot(), 9, 1, 2);  // rank 1 has gone on
  EXPECT_NE(message_of(ErrorKind::storage, [&] { run_.read(); }).find("rank-1/of-2"), std::string::npos);
}

TEST_F(TwoRanks, RanksWithoutACommonStepAreRefusedWithTheirs) {
  for (const std::uint64_t step : {3, 4}) run_.stores[1]->publish(prepare_share(*run_.stores[1], step, 1, 2));
  run_.end();
  const std::string message = message_of(ErrorKind::storage, [&] { run_.read(); });
  EXPECT_NE(message.find("rank 0 of steps 2, 1, rank 1 of steps 4, 3"), std::string::npos) << message;
}

TEST_F(TwoRanks, TornManifestsOfOneRankLeaveTheCommitBefore) {
  run_.end();
  for (const std::string& folder : {run_.folders[1].run_dir, run_.folders[1].ssd_paths[0], run_.folders[1].ssd_paths[1]}) std::filesystem::resize_file(folder + "/manifest.json", 40);
  const auto store = run_.read();
  EXPECT_EQ(committed_step(*store), 1U) << "of rank 0 it is the replaced one, whose slot was not written to";
  expect_whole(*store, 1);
}

TEST_F(TwoRanks, DamageIsFoundAndTheRanksFileNamed) {
  run_.commit(3);  // into the slot that begins the files
  run_.end();
  std::fstream(run_.folders[1].ssd_paths[0] + "/gsnake-moment2.bin", std::ios::in | std::ios::out) << "damage";
  const auto store = run_.read();
  const std::string message = message_of(ErrorKind::storage, [&] { store->verify({}); });
  EXPECT_NE(message.find("ssd0/rank-1/of-2/gsnake-moment2.bin"), std::string::npos) << message;
}

TEST_F(TwoRanks, AFolderThatIsMissingIsNamed) {
  run_.end();
  std::filesystem::remove_all(run_.folders[1].ssd_paths[1]);
  EXPECT_NE(message_of(ErrorKind::storage, [&] { run_.read(); }).find("ssd1/rank-1/of-2"), std::string::npos);
  std::filesystem::remove_all(run_.folders[1].run_dir);
  EXPECT_NE(message_of(ErrorKind::storage, [&] { run_.read(); }).find("run/rank-1/of-2: there is no such folder"), std::string::npos);
}

TEST_F(TwoRanks, NothingIsWritten) {
  run_.end();
  const std::set<std::string> before = tree(directory_.path());
  {
    const auto store = run_.read();
    const Extent first = whole_object(store->layout(), 0, 0);
    const memory::AnonymousMemory data(first.bytes);
    message_of(ErrorKind::usage, [&] { store->write(first, 0, data.data()); });
    message_of(ErrorKind::usage, [&] { store->commit({0, {}, {}}); });
    message_of(ErrorKind::usage, [&] { store->snapshot(0); });
    message_of(ErrorKind::usage, [&] { store->retract_manifest(); });
    message_of(ErrorKind::usage, [&] { static_cast<void>(store->exclude_readers()); });
  }
  EXPECT_EQ(tree(directory_.path()), before);
}

TEST_F(TwoRanks, SharesOfOtherObjectsAreRefused) {
  run_.end();
  const TemporaryDirectory elsewhere(in_memory());
  SharedRun other(elsewhere.path(), 2);
  Layout fewer = share_layout(1, 2);
  for (KindLayout& kind : fewer.kinds) {
    if (!kind.padded_bytes.empty()) kind.padded_bytes.pop_back(), kind.logical_bytes.pop_back();
  }
  {
    const auto store = Store::create(other.options(1), fewer);
    write_share(*store, 0, 2, 1, 2);
    store->commit({0, training_of(2, 1, 2), checksums_of_slot(*store, 0)});
  }
  const std::vector<ShareFolders> mixed{run_.folders[0], other.folders[1]};
  EXPECT_NE(message_of(ErrorKind::storage, [&] { Store::open_reader(run_.reading(), mixed); }).find("name the folders of one run"), std::string::npos);
}

TEST_F(TwoRanks, ABaseIsReadBesideThem) {
  constexpr std::uint64_t kBytes = 64 << 10;
  const std::string path = directory_ / "base.bin";
  const memory::AnonymousMemory data(kBytes);
  fill(data.data(), kBytes, 77);
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data.data()), kBytes);
  StoreOptions options = run_.reading();
  options.base = BaseFile{path, {{}, {0, kBytes}}};
  const auto store = Store::open_reader(options, run_.folders);
  EXPECT_EQ(store->base_bytes(1), kBytes);
  const memory::AnonymousMemory got(kBytes);
  store->read({Kind::base, 1, 0, kBytes}, 0, got.data());
  EXPECT_EQ(std::memcmp(data.data(), got.data(), kBytes), 0);
  expect_whole(*store, 2);
}

TEST_F(TwoRanks, WaitsForACommitThatOneRankIsReplacingWithoutHoldingTheOther) {
  ASSERT_TRUE(run_.stores[1]->exclude_readers());
  auto reader = std::async(std::launch::async, [&] { return run_.read(); });
  EXPECT_EQ(reader.wait_for(milliseconds(100)), std::future_status::timeout);
  // Rank 1 waits for this one: a reader that held it meanwhile would stop both for good.
  while (!run_.stores[0]->exclude_readers()) std::this_thread::sleep_for(milliseconds(1));
  run_.commit(3);
  for (const auto& store : run_.stores) store->admit_readers();
  EXPECT_EQ(committed_step(*reader.get()), 3U);
}

// Ranks as trainers keep the protocol: they wait for readers, prepare, agree, publish and go on.
TEST_F(TwoRanks, ReadersNeverSeeTwoStepsMixedNorStopTheRanks) {
  std::atomic<bool> stop{false};
  std::atomic<bool> stopping{false};  // as both ranks see it
  std::barrier both(2, [&]() noexcept { stopping = stop.load(); });
  const auto train = [&](std::size_t rank) {
    Store& store = *run_.stores[rank];
    for (std::uint64_t step = 3;; ++step) {
      both.arrive_and_wait();
      if (stopping) return;
      write_share(store, 1 - store.committed_slot(), step, rank, 2);
      while (!store.exclude_readers()) std::this_thread::sleep_for(milliseconds(1));
      const PreparedCommit prepared = prepare_share(store, step, rank, 2);
      both.arrive_and_wait();
      store.publish(prepared);
      store.admit_readers();
    }
  };
  std::array<std::thread, 2> ranks{std::thread(train, 0), std::thread(train, 1)};
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 20 && !HasFailure(); ++i) {
    const auto store = run_.read();
    EXPECT_NO_THROW(store->verify({}));
    expect_whole(*store, committed_step(*store));
    seen.insert(committed_step(*store));
    std::this_thread::sleep_for(milliseconds(2));
  }
  stop = true;
  for (std::thread& rank : ranks) rank.join();
  EXPECT_GT(seen.size(), 3U) << "the run went on";
}

using Told = std::vector<std::vector<FoundCommit>>;

FoundCommit told_of(std::uint64_t generation, std::int64_t step) { return {generation, FoundCommit::Standing::published, "", {}, {{"step", step}}}; }

TEST(NewestCommon, IsTheNewestThatEveryRankTellsOf) {
  EXPECT_FALSE(newest_common(Told{}));
  EXPECT_FALSE(newest_common(Told{{told_of(1, 1)}, {}}));
  EXPECT_FALSE(newest_common(Told{{told_of(4, 4), told_of(3, 3)}, {told_of(2, 2), told_of(1, 1)}}));
  const auto common = newest_common(Told{{told_of(3, 30), told_of(2, 20)}, {told_of(2, 20), told_of(1, 10)}, {told_of(7, 30), told_of(6, 20)}});
  ASSERT_TRUE(common);
  EXPECT_EQ(common->step, 20);
  EXPECT_EQ(common->generations, (std::vector<std::uint64_t>{2, 2, 6}));
}

TEST(NewestCommon, OfARunThatWentBackIsTheStepThatItWentBackTo) {
  const auto common = newest_common(Told{{told_of(9, 5), told_of(8, 8)}, {told_of(9, 5), told_of(8, 8)}});
  ASSERT_TRUE(common);
  EXPECT_EQ(common->step, 5);
  const auto cut_short = newest_common(Told{{told_of(9, 5), told_of(8, 8)}, {told_of(8, 8), told_of(7, 7)}});
  ASSERT_TRUE(cut_short);
  EXPECT_EQ(cut_short->step, 8);
}

TEST(ShareMap, SplitsAnExtentAtTheRanksEnds) {
  const std::vector<Layout> shares{share_layout(0, 3), share_layout(1, 3), share_layout(2, 3)};
  const ShareMap map(shares);
  const Extent whole = whole_object(map.layout(), index_of(Kind::moment1), 0);  // five grains: two, two and one
  std::vector<std::pair<std::size_t, Extent>> parts;
  map.split({whole.kind, whole.object, kExtentAlignment, whole.bytes - 2 * kExtentAlignment}, [&](std::size_t share, const Extent& part, std::uint64_t) { parts.emplace_back(share, part); });
  const std::uint64_t grain = kShareGrain * 4;
  EXPECT_EQ(parts, (std::vector<std::pair<std::size_t, Extent>>{{0, {whole.kind, 0, kExtentAlignment, 2 * grain - kExtentAlignment}},
                                                                {1, {whole.kind, 0, 0, 2 * grain}},
                                                                {2, {whole.kind, 0, 0, grain - kExtentAlignment}}}));
  parts.clear();
  const Extent small = whole_object(map.layout(), index_of(Kind::weights), 1);
  map.split(small, [&](std::size_t share, const Extent& part, std::uint64_t) { parts.emplace_back(share, part); });
  EXPECT_EQ(parts.size(), 1U) << "the others have nothing of it";
}

}  // namespace
}  // namespace gsnake::store
