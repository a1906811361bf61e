// A run of some number of ranks as one of another.
#include "checkpoint/reshard.h"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "checkpoint/rank_folders.h"
#include "checkpoint/run_state.h"
#include "checkpoint/shared_objects.h"
#include "runtime/store_layout.h"
#include "store/opening/replaced.h"
#include "store/power_cut_disk.h"

namespace gsnake::checkpoint {
namespace {

using namespace store::testing;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

// The objects of shared_objects.h as a rank has them, and one that is packed. Cuts differ with `delay` and `chunk_grains`.
schedule::Problem problem_of(std::size_t rank, std::size_t ranks, double delay, std::uint64_t chunk_grains) {
  schedule::Problem problem;
  for (const SharedObject& shared : shared_objects()) {
    schedule::Object object = object_of(shared);
    const CellRange own = share_of_cells(shared, rank, ranks);
    if (ranks > 1) object.owned = schedule::Range{own.begin, own.cells};
    schedule::add_unit(problem, std::move(object));
  }
  problem.units.back().objects.push_back(problem.object_count());
  problem.objects.push_back({.elements = 100, .trained = false, .packed_bytes = schedule::kPackedGrain, .state_bytes = {}});
  problem.activation_bytes = 400;
  problem.ids_bytes = 80;
  problem.delay = delay;
  problem.commits = true;
  problem.chunk_elements = chunk_grains * schedule::kGrain;
  return problem;
}

schedule::Map map_of(std::size_t rank, std::size_t ranks, double delay = 0.3, std::uint64_t chunk_grains = 3) {
  return schedule::make_map(problem_of(rank, ranks, delay, chunk_grains), {});
}

RanksConfig as_rank(std::size_t rank, std::size_t ranks) { return {.rank = static_cast<int>(rank), .count = static_cast<int>(ranks)}; }

class Reshard : public ::testing::Test {
 protected:
  [[nodiscard]] std::string run_dir() const { return directory_ / "run"; }
  [[nodiscard]] std::vector<std::string> paths() const { return {directory_ / "ssd0", directory_ / "ssd1"}; }
  [[nodiscard]] store::StoreOptions reading() const {
    store::StoreOptions options = SharedRun(directory_.path(), 1).options(0);
    options.sync = sync_;
    return options;
  }
  [[nodiscard]] RunFound found(int preferred = 1) const {
    const std::vector<RunFound> runs = find_runs(run_dir(), paths());
    const RunFound* run = choose_run(runs, preferred);
    return run == nullptr ? RunFound{} : *run;
  }
  void make(std::size_t ranks, std::uint64_t step) {
    SharedRun run(directory_.path(), ranks);
    run.create();
    run.commit(step);
    run.end();
  }

  // As reshard.h says that it is done, by one process for all ranks. `before_removal` sees both.
  void change(std::size_t ranks, double delay = 0.3, std::uint64_t chunk_grains = 3, const std::function<void()>& before_removal = {}) {
    const RunFound old = found(static_cast<int>(ranks));
    if (old.ranks != static_cast<int>(ranks)) share_anew(old, ranks, delay, chunk_grains, before_removal);
    store::ReplacedRun(folders_of_other_runs(find_runs(run_dir(), paths()), static_cast<int>(ranks)), {.sync = sync_}).remove();
  }

  void share_anew(const RunFound& old, std::size_t ranks, double delay, std::uint64_t chunk_grains, const std::function<void()>& before_removal) {
    store::ReplacedRun replaced(old.folders, {.sync = sync_});
    SharedRun run(directory_.path(), ranks);
    {
      std::vector<store::PreparedCommit> prepared;
      const auto reader = open_reader(reading());
      for (std::size_t rank = 0; rank < ranks; ++rank) {
        const schedule::Map map = map_of(rank, ranks, delay, chunk_grains);
        store::StoreOptions own = run.options(rank);
        own.overwrite = true;
        own.sync = sync_;
        store::Store& store = *run.stores.emplace_back(store::Store::create(own, runtime::store_layout(map.problem, 2)));
        const Resharded made = reshard(*reader, store, map, as_rank(rank, ranks), {});
        prepared.push_back(store.prepare({0, made.training, made.checksums}));
      }
      for (std::size_t rank = 0; rank < ranks; ++rank) run.stores[rank]->publish(prepared[rank]);
    }
    if (before_removal) before_removal();
    replaced.remove();
  }

  // Of the one that is left.
  void expect_run(std::size_t ranks, std::uint64_t step, std::int64_t reshardings) {
    const std::vector<RunFound> runs = find_runs(run_dir(), paths());
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].ranks, static_cast<int>(ranks));
    ASSERT_TRUE(runs[0].last) << runs[0].fault;
    EXPECT_EQ(runs[0].reshardings, reshardings);
    const auto reader = open_reader(reading());
    EXPECT_EQ(committed_step(*reader), step);
    reader->verify({});
    expect_whole(*reader, step);
  }

  TemporaryDirectory directory_{in_memory()};
  io::SyncOps* sync_ = nullptr;
};

TEST_F(Reshard, TheTestsSharesAreTheRuntimes) {
  for (const std::size_t ranks : {1, 2, 3, 4}) {
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const store::Layout runtimes = runtime::store_layout(map_of(rank, ranks).problem, 2);
      const store::Layout tests = share_layout(rank, ranks);
      for (const store::Kind kind : store::kStateKinds) {
        std::vector<std::uint64_t> sizes = runtimes.kinds[core::index_of(kind)].padded_bytes;
        sizes.resize(shared_objects().size());
        EXPECT_EQ(sizes, tests.kinds[core::index_of(kind)].padded_bytes);
      }
    }
  }
}

TEST_F(Reshard, AnyNumberOfRanksGoesOnFromAnyOther) {
  make(4, 5);
  std::int64_t changes = 0;
  for (const std::size_t ranks : {2, 3, 1, 4, 1, 2}) {
    change(ranks, 0.25 * static_cast<double>(changes % 5), 1 + static_cast<std::uint64_t>(changes) * 2);
    expect_run(ranks, 5, ++changes);
    const RunFound run = found();
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      EXPECT_EQ(run.shares[rank].commits[0].training.at("rank"), rank);
      EXPECT_EQ(run.shares[rank].commits[0].training.at("ranks"), ranks);
      EXPECT_EQ(run.shares[rank].commits[0].training.at("updates"), 5) << "the rest is the old commit's";
    }
  }
}

TEST_F(Reshard, WhatIsReadCountsOnceItIsCheckedAndTheProgressIsTold) {
  make(3, 5);
  const schedule::Map map = map_of(1, 2);
  SharedRun run(directory_.path(), 2);
  const auto create = [&] {
    store::StoreOptions options = run.options(1);
    options.overwrite = true;
    return store::Store::create(options, runtime::store_layout(map.problem, 2));
  };
  std::uint64_t last = 0;
  std::uint64_t all = 0;
  {
    const auto reader = open_reader(reading());
    const auto store = create();
    reshard(*reader, *store, map, as_rank(1, 2), [&](std::uint64_t done, std::uint64_t total) {
      EXPECT_GT(done, last);
      last = done;
      all = total;
    });
  }
  std::uint64_t own_bytes = 0;
  const store::Layout own = share_layout(1, 2);
  for (const store::Kind kind : store::kStateKinds) {
    for (const std::uint64_t bytes : own.kinds[core::index_of(kind)].padded_bytes) own_bytes += bytes;
  }
  EXPECT_EQ(last, own_bytes);
  EXPECT_EQ(all, own_bytes);
  std::fstream(directory_ / "ssd0/rank-2/of-3/gsnake-moment1.bin", std::ios::in | std::ios::out) << "damage";
  const auto reader = open_reader(reading());
  const auto store = create();
  EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { reshard(*reader, *store, map, as_rank(1, 2), {}); }), HasSubstr("ssd0/rank-2/of-3/gsnake-moment1.bin"));
}

TEST_F(Reshard, AnotherModelIsRefused) {
  make(2, 5);
  schedule::Problem other = problem_of(0, 1, 0.0, 3);
  other.objects[0].elements += 1 << 20;
  const schedule::Map map = schedule::make_map(other, {});
  const auto reader = open_reader(reading());
  const auto store = store::Store::create(SharedRun(directory_.path(), 1).options(0), runtime::store_layout(other, 2));
  EXPECT_THAT(test::message_of(ErrorKind::usage, [&] { reshard(*reader, *store, map, as_rank(0, 1), {}); }), HasSubstr("other sizes"));
}

TEST_F(Reshard, NobodyTrainsTheOldRunMeanwhileAndReadersDelayItsEnd) {
  make(2, 5);
  change(3, 0.3, 3, [&] {
    EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { store::Store::open(SharedRun(directory_.path(), 2).options(0), no_scratch()); }), HasSubstr("in use"));
    EXPECT_EQ(found(2).ranks, 3) << "which is the run from now on";
  });
  expect_run(3, 5, 1);
}

// Everything of a change is cut short at any call, by a kill or by a power cut: what is then found is whole, and goes on to be what was wanted.
class ReshardCutShort : public Reshard, public ::testing::WithParamInterface<std::pair<std::size_t, std::size_t>> {};

TEST_P(ReshardCutShort, LeavesTheOldRunOrTheNewOne) {
  const auto [from, to] = GetParam();
  make(from, 5);
  for (const std::size_t ranks : {from, to}) {
    for (const store::ShareFolders& share : SharedRun(directory_.path(), ranks).folders) {
      fs::create_directories(share.run_dir);
      for (const std::string& path : share.ssd_paths) fs::create_directories(path);
    }
  }
  const TemporaryDirectory kept(in_memory());
  fs::copy(directory_.path(), kept.path(), fs::copy_options::recursive);
  std::mt19937_64 random(3);
  const auto stride = static_cast<std::size_t>(call_stride()) * static_cast<std::size_t>(test::sweep(4, 1));
  std::set<int> left;
  bool done = false;
  std::size_t calls = 0;
  for (; !done && !HasFailure(); calls += stride) {
    SCOPED_TRACE("cut short before call " + std::to_string(calls));
    fs::remove_all(directory_.path());
    fs::copy(kept.path(), directory_.path(), fs::copy_options::recursive);
    PowerCutDisk disk;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.path())) {
      if (entry.is_directory()) disk.add_directory(entry.path().string());
    }
    disk.die_at(calls);
    sync_ = &disk;
    try {
      change(to);
      done = true;
    } catch (const Error&) {
    }
    sync_ = nullptr;
    if (!done && random() % 2 == 0) disk.cut_power(random);
    const RunFound run = found();
    ASSERT_TRUE(run.last);
    EXPECT_EQ(run.last->step, 5);
    left.insert(run.ranks);
    const auto reader = open_reader(reading());
    reader->verify({});
    expect_whole(*reader, 5);
  }
  EXPECT_EQ(left, (std::set<int>{static_cast<int>(from), static_cast<int>(to)}));
  EXPECT_GT(calls, 60U);
}

TEST_P(ReshardCutShort, GoesOnWhereItWas) {
  const auto [from, to] = GetParam();
  std::mt19937_64 random(8);
  for (int trial = 0; trial < trials(10) && !HasFailure(); ++trial) {
    fs::remove_all(directory_.path());
    fs::create_directories(directory_.path());
    make(from, 5);
    PowerCutDisk disk;  // of which no power is cut
    for (int again = 0; again < 3; ++again) {
      disk.die_at(random() % 150);
      sync_ = &disk;
      try {
        change(to);
      } catch (const Error&) {
      }
      sync_ = nullptr;
      ASSERT_EQ(found().last->step, 5);
    }
    change(to);
    expect_run(to, 5, 1);
    EXPECT_FALSE(fs::exists(directory_ / "ssd0/rank-0/of-" + std::to_string(from)));
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, ReshardCutShort, ::testing::Values(std::pair(2, 3), std::pair(1, 2), std::pair(2, 1)));

}  // namespace
}  // namespace gsnake::checkpoint
