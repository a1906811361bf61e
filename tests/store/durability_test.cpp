// A commit stands or does not, whatever instant a kill or a power cut takes.
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>
#include <random>

#include "power_cut_disk.h"
#include "store/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

class DurabilityTest : public ::testing::Test {
 protected:
  StoreOptions options(SyncOps* sync = nullptr) const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    options.engine_options.threads = 1;
    options.direct = io::DirectIo::off;
    options.sync = sync;
    return options;
  }

  // A run at step 1.
  void create(const Layout& layout = small_layout(2)) const {
    const auto store = Store::create(options(), layout);
    commit_step(*store, 1);
  }

  // The step that counts now; its state must be whole.
  std::uint64_t reopen(SyncOps* sync = nullptr) const {
    const auto store = Store::open(options(sync), no_scratch());
    store->verify({});
    expect_step(*store, store->committed_slot(), committed_step(*store));
    return committed_step(*store);
  }

  // In each folder alone, without help from the others.
  void expect_whole_copies() const {
    for (const char* name : {"run", "a", "b"}) {
      const std::optional<Manifest> manifest = read_manifest(directory_ / name);
      ASSERT_TRUE(manifest) << name;
      ASSERT_FALSE(read_table(directory_ / name, *table_of(*manifest)).empty());
    }
  }

  TemporaryDirectory directory_;
};

// Kills the process before a call.
class KillingSync final : public SyncOps {
 public:
  explicit KillingSync(int calls) : left_(calls) {}
  int open(const char* path, int flags, mode_t mode) noexcept override { return count(), ::open(path, flags, mode); }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return count(), ::write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return count(), ::ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return count(), ::fsync(fd); }
  int fdatasync(int fd) noexcept override { return count(), ::fdatasync(fd); }
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
  for (bool survived = false; !survived; ++kills) {
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

TEST_F(DurabilityTest, APowerCutAfterAnyCallOfACommitLeavesTheStepBeforeOrThisOne) {
  create();
  std::mt19937_64 random(1);
  PowerCutDisk disk;
  for (const char* name : {"run", "a", "b"}) disk.add_directory(directory_ / name);
  std::uint64_t step = 1;
  for (int trial = 0; trial < 3; ++trial) {
    bool committed = false;
    for (std::size_t calls = 0; !committed; ++calls) {
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
      expect_whole_copies();
      disk.die_at(PowerCutDisk::kNever);
      step = reopen(&disk);
      ASSERT_TRUE(step == before + 1 || (!committed && step == before));
    }
  }
}

// Steps, kills and power cuts in any order, in commits and while opening; the slot that is free is overwritten every time.
TEST_F(DurabilityTest, NoSequenceOfKillsAndPowerCutsLosesAStepThatWasCommitted) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const TemporaryDirectory fresh;
    StoreOptions where = options();
    where.run_dir = fresh / "run";
    where.ssd_paths = {fresh / "a", fresh / "b"};
    { commit_step(*Store::create(where, small_layout(2)), 1); }
    PowerCutDisk disk;
    for (const char* name : {"run", "a", "b"}) disk.add_directory(fresh / name);
    where.sync = &disk;
    std::mt19937_64 random(seed);
    std::uint64_t tried = 1;
    std::set<std::uint64_t> allowed{1};
    for (int round = 0; round < 25; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      disk.die_at(random() % 3 == 0 ? random() % 30 : PowerCutDisk::kNever);
      try {
        const auto store = Store::open(where, no_scratch());
        ASSERT_TRUE(allowed.contains(committed_step(*store))) << committed_step(*store);
        allowed = {committed_step(*store)};
        store->verify({});
        expect_step(*store, store->committed_slot(), committed_step(*store));
        disk.die_at(random() % 2 == 0 ? random() % 60 : PowerCutDisk::kNever);
        allowed.insert(++tried);
        commit_step(*store, tried);
        allowed = {tried};
      } catch (const Error& error) {
        ASSERT_LT(disk.calls(), 1000U);
        EXPECT_NE(std::string(error.what()).find("Input/output error"), std::string::npos) << error.what();
      }
      if (random() % 2 == 0) disk.cut_power(random);
    }
  }
}

}  // namespace
}  // namespace gsnake::store
