// A commit in two halves: what is prepared is there for whoever asks for it, what is published counts.
#include <functional>
#include <random>
#include <stdexcept>

#include "power_cut_disk.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
using Standing = FoundCommit::Standing;

// A rank's folders: a run in two SSD paths and a folder of its own.
StoreOptions rank_options(const std::string& base) {
  StoreOptions options = make_options(base + "/run", {base + "/a", base + "/b"}, {1.0, 0.5});
  options.engine = io::EngineChoice::threads;
  options.engine_options.threads = 1;
  options.direct = io::DirectIo::off;
  return options;
}

PreparedCommit prepare_step(Store& store, std::uint64_t step) {
  const int slot = store.manifest() == nullptr ? 0 : 1 - store.committed_slot();
  write_step(store, slot, step);
  return store.prepare({slot, {{"step", step}}, checksums_of_slot(store, slot)});
}

std::unique_ptr<Store> open_at(StoreOptions options, std::optional<std::uint64_t> generation) {
  options.generation = generation;
  return Store::open(options, no_scratch());
}

// Its step, whose bytes must all be there.
std::uint64_t whole_step(Store& store) {
  store.verify({});
  expect_step(store, store.committed_slot(), committed_step(store));
  return committed_step(store);
}

using Told = std::vector<std::pair<std::uint64_t, Standing>>;
Told told(const StoreOptions& options) {
  Told all;
  for (const FoundCommit& commit : Store::commits_of(options)) all.emplace_back(commit.generation, commit.standing);
  return all;
}

class TwoHalves : public ::testing::Test {
 protected:
  // At step 2, which is commit 2.
  std::unique_ptr<Store> run() const {
    auto store = Store::create(options_, small_layout(2));
    commit_step(*store, 1);
    commit_step(*store, 2);
    return store;
  }

  TemporaryDirectory directory_{in_memory()};
  const StoreOptions options_ = rank_options(directory_.path());
};

TEST_F(TwoHalves, APreparedCommitDoesNotCountAndIsToldOf) {
  {
    const auto store = run();
    EXPECT_EQ(prepare_step(*store, 3).generation(), 3U);
    EXPECT_EQ(committed_step(*store), 2U);
  }
  EXPECT_EQ(told(options_), (Told{{3, Standing::prepared}, {2, Standing::published}}));
  EXPECT_EQ(Store::commits_of(options_)[0].training.at("step"), 3);
  EXPECT_EQ(committed_step(*Store::open_reader(options_)), 2U);
  EXPECT_EQ(told(options_).size(), 2U) << "a reader leaves it alone";
}

TEST_F(TwoHalves, APublishedOneCountsAsAfterACommit) {
  {
    const auto store = run();
    store->publish(prepare_step(*store, 3));
    EXPECT_EQ(whole_step(*store), 3U);
    commit_step(*store, 4);
  }
  EXPECT_EQ(told(options_), (Told{{4, Standing::published}, {3, Standing::replaced}}));
  EXPECT_EQ(whole_step(*open_at(options_, {})), 4U);
}

TEST_F(TwoHalves, WhoeverAsksForAPreparedCommitMakesItCount) {
  { prepare_step(*run(), 3); }
  EXPECT_EQ(whole_step(*open_at(options_, 3)), 3U);
  EXPECT_EQ(told(options_), (Told{{3, Standing::published}, {2, Standing::replaced}}));
  const auto store = open_at(options_, 3);
  commit_step(*store, 4);
  EXPECT_EQ(store->manifest()->generation, 4U);
}

TEST_F(TwoHalves, ForWhoeverAsksForTheOneBeforeItIsGone) {
  for (const bool asks : {false, true}) {
    StoreOptions over = options_;
    over.overwrite = true;
    {
      const auto store = Store::create(over, small_layout(2));
      commit_step(*store, 1);
      commit_step(*store, 2);
      prepare_step(*store, 3);
    }
    {
      const auto store = open_at(options_, asks ? std::optional<std::uint64_t>(2) : std::nullopt);
      EXPECT_EQ(whole_step(*store), 2U);
      write_step(*store, 0, 9);
    }
    EXPECT_EQ(told(options_), (Told{{2, Standing::published}})) << "its slot may be overwritten from here on";
    const auto store = open_at(options_, {});
    commit_step(*store, 3);
    EXPECT_EQ(store->manifest()->generation, 3U) << "as in the ranks that never prepared it";
  }
}

TEST_F(TwoHalves, AReplacedCommitCountsForWhoeverAsksForItIfItVerifies) {
  run().reset();
  {
    const auto store = open_at(options_, 1);
    EXPECT_EQ(whole_step(*store), 1U);
    EXPECT_EQ(store->committed_slot(), 0);
  }
  EXPECT_EQ(whole_step(*open_at(options_, {})), 1U) << "what was later is gone";
  { commit_step(*open_at(options_, 1), 2); }
  { write_step(*open_at(options_, 2), 0, 7); }
  EXPECT_NE(message_of(ErrorKind::storage, [&] { open_at(options_, 1); }).find("commit 1 was asked for"), std::string::npos);
  EXPECT_EQ(whole_step(*open_at(options_, {})), 2U) << "and nothing was changed";
}

TEST_F(TwoHalves, ACommitThatIsNotThereIsRefusedWithThoseThatAre) {
  run().reset();
  EXPECT_NE(message_of(ErrorKind::storage, [&] { open_at(options_, 7); }).find("of its commits 1, 2 none is commit 7"), std::string::npos);
  EXPECT_EQ(whole_step(*open_at(options_, {})), 2U);
}

TEST_F(TwoHalves, TheFirstCommitOfARunCanBePreparedAndAskedFor) {
  { prepare_step(*Store::create(options_, small_layout(2)), 1); }
  EXPECT_EQ(told(options_), (Told{{1, Standing::prepared}}));
  EXPECT_NE(message_of(ErrorKind::storage, [&] { open_at(options_, {}); }).find("there is no manifest.json"), std::string::npos);
  EXPECT_EQ(whole_step(*open_at(options_, 1)), 1U);
}

TEST_F(TwoHalves, OnlyWhatWasPreparedLastCanBePublished) {
  const auto store = run();
  const PreparedCommit first = prepare_step(*store, 3);
  const PreparedCommit second = prepare_step(*store, 4);
  EXPECT_THROW(store->publish(first), std::logic_error);
  store->publish(second);
  EXPECT_THROW(store->publish(second), std::logic_error);
  EXPECT_EQ(whole_step(*store), 4U);
}

TEST_F(TwoHalves, APreparedCommitSurvivesMorePlacesForSnapshots) {
  { prepare_step(*run(), 3); }
  StoreOptions more = options_;
  more.snapshot_places = 2;
  { EXPECT_EQ(whole_step(*open_at(more, 3)), 3U); }
  EXPECT_EQ(Store::open(options_, no_scratch())->snapshot_places(), 2);
}

// Ended before any call of prepare() or publish(), by a kill and then a power cut.
TEST_F(TwoHalves, APowerCutLeavesThePreparedCommitOrTheOneBeforeForWhoeverAsks) {
  std::mt19937_64 random(4);
  run().reset();
  const TemporaryDirectory kept(in_memory());
  std::filesystem::copy(directory_.path(), kept.path(), std::filesystem::copy_options::recursive);
  bool done = false;
  std::size_t calls = 0;
  for (; !done && !HasFailure(); calls += call_stride()) {
    for (int trial = 0; trial < trials(6) && !HasFailure(); ++trial) {
      SCOPED_TRACE("ended before call " + std::to_string(calls) + ", trial " + std::to_string(trial));
      PowerCutDisk disk;
      for (const char* folder : {"run", "a", "b"}) {
        std::filesystem::remove_all(directory_ / folder);
        std::filesystem::copy(kept / folder, directory_ / folder);
        disk.add_directory(directory_ / folder);
      }
      StoreOptions options = options_;
      options.sync = &disk;
      bool prepared = false;
      done = false;
      {
        const auto store = Store::open(options, no_scratch());
        disk.die_at(calls);
        try {
          const PreparedCommit commit = prepare_step(*store, 3);
          prepared = true;
          store->publish(commit);
          done = true;
        } catch (const Error&) {
        }
      }
      disk.cut_power(random);
      disk.die_at(PowerCutDisk::kNever);
      const Told left = told(options);
      ASSERT_FALSE(left.empty());
      const bool there = left[0].first == 3;
      ASSERT_TRUE(there || !prepared);
      ASSERT_TRUE(!done || left[0].second == Standing::published);
      // Whatever the other ranks can take, this one can: three if it was prepared everywhere, else two.
      const std::uint64_t asked = prepared || (there && random() % 2 == 0) ? 3 : left[0].second == Standing::published ? left[0].first : 2;
      EXPECT_EQ(whole_step(*open_at(options, asked)), asked);
      EXPECT_EQ(whole_step(*open_at(options, {})), asked);
    }
  }
  EXPECT_GT(calls, 40U);
}

// Two ranks that end at any instant and lose what was not synced; the newest commit that both have is taken.
class Ranks {
 public:
  Ranks(const std::string& base, std::uint64_t seed) : random_(seed) {
    for (int rank = 0; rank < kRanks; ++rank) {
      options_.push_back(rank_options(base + "/" + std::to_string(rank)));
      StoreOptions& own = options_.back();
      { commit_step(*Store::create(own, small_layout(2)), 1); }
      disks_.push_back(std::make_unique<PowerCutDisk>());
      for (const std::string& folder : {own.run_dir, own.ssd_paths[0], own.ssd_paths[1]}) disks_.back()->add_directory(folder);
      own.sync = disks_.back().get();
    }
  }

  void go_on() {
    for (const auto& disk : disks_) maybe_die(*disk, 3, 40);
    try {
      const std::uint64_t common = newest_common();
      std::vector<std::unique_ptr<Store>> stores;
      for (const StoreOptions& own : options_) stores.push_back(open_at(own, common));
      check(stores);
      for (int steps = 0; steps < 2; ++steps) step(stores);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("Input/output error"), std::string::npos) << error.what();
    }
    for (const auto& disk : disks_) {
      disk->die_at(PowerCutDisk::kNever);
      if (random_() % 2 == 0) disk->cut_power(random_);
    }
  }
  [[nodiscard]] std::uint64_t steps() const { return counts_; }

 private:
  static constexpr int kRanks = 2;

  void maybe_die(PowerCutDisk& disk, unsigned one_in, std::size_t within) {
    disk.die_at(random_() % one_in == 0 ? random_() % within : PowerCutDisk::kNever);
  }

  [[nodiscard]] std::uint64_t newest_common() const {
    const std::vector<FoundCommit> others = Store::commits_of(options_[1]);
    for (const FoundCommit& commit : Store::commits_of(options_[0])) {
      const bool both = std::any_of(others.begin(), others.end(), [&](const FoundCommit& other) { return other.generation == commit.generation; });
      if (both) return commit.generation;
    }
    throw std::runtime_error("the ranks have no commit in common");
  }

  void check(const std::vector<std::unique_ptr<Store>>& stores) {
    const std::uint64_t step = whole_step(*stores[0]);
    EXPECT_EQ(whole_step(*stores[1]), step);
    EXPECT_EQ(stores[0]->manifest()->generation, stores[1]->manifest()->generation);
    EXPECT_GE(step, counts_) << "a step that counted is lost";
    counts_ = step;
  }

  void step(const std::vector<std::unique_ptr<Store>>& stores) {
    for (const auto& disk : disks_) maybe_die(*disk, 4, 60);
    ++tried_;
    std::vector<PreparedCommit> prepared;
    for (const auto& store : stores) prepared.push_back(prepare_step(*store, tried_));
    // Both have it: here they agree.
    for (std::size_t rank = 0; rank < stores.size(); ++rank) {
      stores[rank]->publish(prepared[rank]);
      counts_ = tried_;  // for one of them at least
    }
  }

  std::mt19937_64 random_;
  std::vector<StoreOptions> options_;
  std::vector<std::unique_ptr<PowerCutDisk>> disks_;
  std::uint64_t tried_ = 1;
  std::uint64_t counts_ = 1;
};

TEST_F(TwoHalves, NoSequenceOfKillsAndPowerCutsLeavesRanksAtDifferentSteps) {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(trials(10)) + 1; ++seed) {
    const TemporaryDirectory fresh(in_memory());
    Ranks ranks(fresh.path(), seed);
    for (int round = 0; round < 25; ++round) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
      ranks.go_on();
      if (HasFailure()) return;
    }
    EXPECT_GT(ranks.steps(), 5U);
  }
}

}  // namespace
}  // namespace gsnake::store
