// A commit stands or does not, whatever instant a kill or a power cut takes.
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>

#include "power_cut_disk.h"
#include "store/manifest/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

class DurabilityTest : public ::testing::Test {
 protected:
  StoreOptions options(io::SyncOps* sync = nullptr) const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    options.engine_options.threads = 1;
    options.direct = io::DirectIo::off;
    options.sync = sync;
    return options;
  }

  // The run's folder is its only SSD path.
  StoreOptions one_folder(const std::string& folder) const {
    StoreOptions one = options();
    one.run_dir = folder;
    one.ssd_paths = {folder};
    one.stripe_weights = {1.0};
    return one;
  }

  // A run at step 1.
  void create(const Layout& layout = small_layout(2)) const {
    const auto store = Store::create(options(), layout);
    commit_step(*store, 1);
  }

  // The step that counts now; its state must be whole.
  std::uint64_t reopen(io::SyncOps* sync = nullptr) const {
    const auto store = Store::open(options(sync), no_scratch());
    store->verify({});
    expect_step(*store, store->committed_slot(), committed_step(*store));
    return committed_step(*store);
  }

  // By itself, without help from other folders or from the commit before.
  static void expect_whole(const std::string& folder) {
    const std::optional<Manifest> manifest = read_manifest(folder);
    ASSERT_TRUE(manifest) << folder;
    ASSERT_FALSE(read_table(folder, *table_of(*manifest)).empty()) << folder;
  }

  TemporaryDirectory directory_{in_memory()};
};

// Kills the process before a call.
class KillingSync final : public io::SyncOps {
 public:
  explicit KillingSync(int calls = std::numeric_limits<int>::max()) : left_(calls) {}
  void arm(int calls) { left_ = calls; }
  int open(const char* path, int flags, mode_t mode) noexcept override { return count(), ::open(path, flags, mode); }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return count(), ::write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return count(), ::ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return count(), ::fsync(fd); }
  int fdatasync(int fd) noexcept override { return count(), ::fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return count(), io::kernel_sync().allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return count(), ::link(from, to); }
  int rename(const char* from, const char* to) noexcept override { return count(), ::rename(from, to); }
  int unlink(const char* path) noexcept override { return count(), ::unlink(path); }

 private:
  void count() noexcept {
    if (left_-- == 0) ::kill(::getpid(), SIGKILL);
  }
  std::atomic<int> left_;
};

// True when it ended by itself.
bool survives(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;
  return WIFEXITED(status);
}

TEST_F(DurabilityTest, AKillBeforeAnyCallOfACommitLeavesTheStepBeforeOrThisOne) {
  create();
  std::uint64_t step = 1;
  int kills = 0;
  for (bool survived = false; !survived; kills += call_stride()) {
    const std::uint64_t before = step;
    survived = survives([&] {
      KillingSync sync(kills);
      commit_step(*Store::open(options(&sync), no_scratch()), before + 1);
    });
    step = reopen();
    ASSERT_TRUE(step == before + 1 || (!survived && step == before)) << "killed before call " << kills << " of step " << before + 1;
  }
  EXPECT_GT(kills, 40) << "open, write, sync, link and rename in three folders";
  EXPECT_GT(step, 2U) << "commits that were killed late count";
}

TEST_F(DurabilityTest, AKillBeforeAnyCallOfASnapshotLeavesTheCommitAndAWholeSnapshotOrNone) {
  create(small_layout(3));
  Store::open(options(), no_scratch())->snapshot(0);
  std::set<std::uint64_t> seen;
  int kills = 0;
  for (bool survived = false; !survived; kills += call_stride()) {
    SCOPED_TRACE("killed before call " + std::to_string(kills));
    const std::uint64_t step = reopen() + 1;
    survived = survives([&] {
      KillingSync sync;
      const auto store = Store::open(options(&sync), no_scratch());
      commit_step(*store, step);
      sync.arm(kills);
      store->snapshot(0);
    });
    ASSERT_EQ(reopen(), step);
    const auto store = Store::open(options(), no_scratch());
    for (const Snapshot& snapshot : store->snapshots()) {
      const std::uint64_t kept = snapshot.training.at("step");
      ASSERT_TRUE(kept == step || kept + 1 == step) << kept;
      expect_step(*store, 2, kept);
      seen.insert(step - kept);
    }
    store->snapshot(0);
  }
  EXPECT_GT(kills, 40);
  EXPECT_EQ(seen.size(), 2U) << "the one before stays while nothing of it is overwritten";
}

TEST_F(DurabilityTest, AKillWhileGoingBackLeavesTheLastCommitOrTheSnapshot) {
  create(small_layout(3));
  { Store::open(options(), no_scratch())->snapshot(0); }
  std::uint64_t last = 1;
  int kills = 0;
  for (bool survived = false; !survived; kills += call_stride()) {
    SCOPED_TRACE("killed before call " + std::to_string(kills));
    { commit_step(*Store::open(options(), no_scratch()), ++last); }
    survived = survives([&] {
      KillingSync sync(kills);
      StoreOptions back = options(&sync);
      back.from_step = 1;
      Store::open(back, no_scratch());
    });
    const std::uint64_t step = reopen();
    ASSERT_TRUE(step == 1 || (!survived && step == last)) << step;
  }
  EXPECT_GT(kills, 40);
}

TEST_F(DurabilityTest, APowerCutAfterAnyCallOfACommitLeavesTheStepBeforeOrThisOne) {
  create();
  std::mt19937_64 random(1);
  PowerCutDisk disk;
  for (const char* name : {"run", "a", "b"}) disk.add_directory(directory_ / name);
  std::uint64_t step = 1;
  for (int trial = 0; trial < trials(2); ++trial) {
    bool committed = false;
    for (std::size_t calls = 0; !committed; calls += call_stride()) {
      SCOPED_TRACE("trial " + std::to_string(trial) + ", power cut before call " + std::to_string(calls));
      const std::uint64_t before = step;
      disk.die_at(PowerCutDisk::kNever);
      {
        const auto store = Store::open(options(&disk), no_scratch());
        disk.die_at(calls);
        try {
          commit_step(*store, before + 1);
          committed = true;
        } catch (const Error&) {
        }
      }
      disk.cut_power(random);
      for (const char* name : {"run", "a", "b"}) ASSERT_NO_THROW(expect_whole(directory_ / name));
      disk.die_at(PowerCutDisk::kNever);
      step = reopen(&disk);
      ASSERT_TRUE(step == before + 1 || (!committed && step == before));
    }
  }
}

// Steps, snapshots, returns to them, kills and power cuts in any order; the slot that is free is overwritten every time.
class History {
 public:
  History(StoreOptions options, std::uint64_t seed) : options_(std::move(options)), random_(seed) {
    { commit_step(*Store::create(options_, small_layout(3)), 1); }
    for (const std::string& path : options_.ssd_paths) disk_.add_directory(path);
    if (options_.run_dir != options_.ssd_paths[0]) disk_.add_directory(options_.run_dir);
    options_.sync = &disk_;
  }

  void go_on() {
    options_.from_step.reset();
    maybe_die(3, 30);
    try {
      std::unique_ptr<Store> store = Store::open(options_, no_scratch());
      check(*store);
      if (!store->snapshots().empty() && random_() % 3 == 0) store = go_back(std::move(store));
      maybe_die(2, 60);
      allowed_.insert(++tried_);
      commit_step(*store, tried_);
      allowed_ = {tried_};
      if (random_() % 3 == 0) store->snapshot(0);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("Input/output error"), std::string::npos) << error.what();
    }
    if (random_() % 2 == 0) disk_.cut_power(random_);
  }

 private:
  void maybe_die(unsigned one_in, std::size_t within) { disk_.die_at(random_() % one_in == 0 ? random_() % within : PowerCutDisk::kNever); }

  void check(Store& store) {
    EXPECT_TRUE(allowed_.contains(committed_step(store))) << committed_step(store);
    allowed_ = {committed_step(store)};
    store.verify({});
    expect_step(store, store.committed_slot(), committed_step(store));
    for (const Snapshot& snapshot : store.snapshots()) expect_step(store, 2, snapshot.training.at("step"));
  }

  std::unique_ptr<Store> go_back(std::unique_ptr<Store> store) {
    const std::uint64_t step = store->snapshots()[0].training.at("step");
    store.reset();
    maybe_die(2, 60);
    options_.from_step = static_cast<std::int64_t>(step);
    allowed_.insert(step);
    store = Store::open(options_, no_scratch());
    allowed_ = {step};
    check(*store);
    return store;
  }

  StoreOptions options_;
  std::mt19937_64 random_;
  PowerCutDisk disk_;
  std::uint64_t tried_ = 1;
  std::set<std::uint64_t> allowed_{1};
};

// In one folder nothing else makes up for what it lost; of three, each may be the one that is ahead.
TEST_F(DurabilityTest, NoSequenceOfKillsAndPowerCutsLosesAStepThatWasCommitted) {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(trials(10)) + 1; ++seed) {
    const TemporaryDirectory fresh(in_memory());
    StoreOptions where = seed % 2 == 0 ? options() : one_folder(fresh / "a");
    if (seed % 2 == 0) {
      where.run_dir = fresh / "run";
      where.ssd_paths = {fresh / "a", fresh / "b"};
    }
    History history(where, seed);
    for (int round = 0; round < (seed % 2 == 0 ? 15 : 40); ++round) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
      history.go_on();
      if (HasFailure()) return;
    }
  }
}

// In a copy of a run at step 1 that lies in one folder: step 2, which ends before a call, as often as it takes to have every call; then
// `after`, which finds the folder as the process left it.
class SecondCommit {
 public:
  using After = std::function<void(PowerCutDisk& disk, const StoreOptions& where, bool committed)>;

  SecondCommit(std::string pristine, StoreOptions where) : pristine_(std::move(pristine)), where_(std::move(where)) {}

  void before_every_call(const After& after) const {
    bool committed = false;
    for (std::size_t calls = 0; !committed; calls += call_stride()) {
      for (int trial = 0; trial < trials(8) && !::testing::Test::HasFatalFailure(); ++trial) {
        SCOPED_TRACE("ended before call " + std::to_string(calls) + ", trial " + std::to_string(trial));
        std::filesystem::remove_all(where_.run_dir);
        std::filesystem::copy(pristine_, where_.run_dir);
        PowerCutDisk disk;
        disk.add_directory(where_.run_dir);
        StoreOptions where = where_;
        where.sync = &disk;
        committed = commit(disk, where, calls);
        disk.die_at(PowerCutDisk::kNever);
        after(disk, where, committed);
      }
    }
  }

 private:
  static bool commit(PowerCutDisk& disk, const StoreOptions& where, std::size_t calls) {
    const auto store = Store::open(where, no_scratch());
    disk.die_at(calls);
    try {
      commit_step(*store, 2);
    } catch (const Error&) {
      return false;
    }
    return true;
  }

  std::string pristine_;
  StoreOptions where_;
};

// The table is a new file.
TEST_F(DurabilityTest, APowerCutAfterAnyCallOfTheSecondCommitLeavesTheFirstOrTheSecond) {
  { commit_step(*Store::create(one_folder(directory_ / "first"), small_layout(2)), 1); }
  std::mt19937_64 random(2);
  SecondCommit(directory_ / "first", one_folder(directory_ / "copy"))
      .before_every_call([&](PowerCutDisk& disk, const StoreOptions& where, bool committed) {
        disk.cut_power(random);
        ASSERT_NO_THROW(expect_whole(where.run_dir));
        const auto store = Store::open(where, no_scratch());
        ASSERT_TRUE(!committed || committed_step(*store) == 2);
        expect_step(*store, store->committed_slot(), committed_step(*store));
      });
}

// What the drive has not yet been asked to keep may have been seen by the process that opened the run, and relied upon.
TEST_F(DurabilityTest, AKillAtAnyCallAndAPowerCutInTheNextStepLeaveTheStepThatTheRunWentOnFrom) {
  { commit_step(*Store::create(one_folder(directory_ / "first"), small_layout(2)), 1); }
  std::mt19937_64 random(3);
  SecondCommit(directory_ / "first", one_folder(directory_ / "copy"))
      .before_every_call([&](PowerCutDisk& disk, const StoreOptions& where, bool /*committed*/) {
        std::uint64_t step = 0;
        {
          const auto store = Store::open(where, no_scratch());
          step = committed_step(*store);
          write_step(*store, 1 - store->committed_slot(), 3);
        }
        disk.cut_power(random);
        const auto store = Store::open(where, no_scratch());
        ASSERT_EQ(committed_step(*store), step);
        store->verify({});
        expect_step(*store, store->committed_slot(), step);
      });
}

// One slot: the manifests go before the state does.
TEST_F(DurabilityTest, AKillBeforeAnyCallOfARetractionLeavesTheCommitOrNone) {
  int kills = 0;
  for (bool survived = false; !survived; kills += call_stride()) {
    StoreOptions over = options();
    over.overwrite = true;
    {
      const auto store = Store::create(over, small_layout(1));
      for (std::uint64_t step = 1; step <= 2; ++step) {
        write_step(*store, 0, step);
        store->commit({0, {{"step", step}}, checksums_of_slot(*store, 0)});
      }
    }
    survived = survives([&] {
      KillingSync sync;
      const auto store = Store::open(options(&sync), no_scratch());
      sync.arm(kills);
      store->retract_manifest();
      write_step(*store, 0, 3);
    });
    try {
      EXPECT_EQ(reopen(), 2U);
      EXPECT_FALSE(survived);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("there is no manifest.json"), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(kills, 20);
}

TEST_F(DurabilityTest, AFailedCommitStopsLaterOnes) {
  create();
  for (const std::size_t at : {0U, 30U}) {  // the sync of the state; between the copies
    PowerCutDisk disk;
    for (const char* name : {"run", "a", "b"}) disk.add_directory(directory_ / name);
    const auto store = Store::open(options(&disk), no_scratch());
    disk.die_at(at);
    message_of(ErrorKind::storage, [&] { commit_step(*store, 3); });
    disk.die_at(PowerCutDisk::kNever);
    EXPECT_NE(message_of(ErrorKind::storage, [&] { commit_step(*store, 3); }).find("an earlier commit failed"), std::string::npos);
  }
}

}  // namespace
}  // namespace gsnake::store
