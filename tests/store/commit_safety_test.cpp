// What threads that commit, keep snapshots and start steps may not do to one another's work.
#include <atomic>
#include <cerrno>
#include <future>
#include <stdexcept>
#include <thread>

#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

class CommitSafety : public ::testing::Test {
 protected:
  StoreOptions options(io::SyncOps* sync = nullptr) const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a"});
    options.engine = io::EngineChoice::threads;
    options.direct = io::DirectIo::off;
    options.sync = sync;
    return options;
  }

  TemporaryDirectory directory_{in_memory()};
};

TEST_F(CommitSafety, TheCommitOfARunWithTwoSlotsIsNeverRetracted) {
  const auto store = Store::create(options(), small_layout(2));
  commit_step(*store, 1);
  EXPECT_THROW(store->retract_manifest(), std::logic_error);
  store->verify({});
  EXPECT_TRUE(holds_manifest(directory_ / "run"));
}

// Of a commit that fails while a snapshot is being synced; each waits for the other where the other must be.
class FailsBetween final : public io::SyncOps {
 public:
  int open(const char* path, int flags, mode_t mode) noexcept override {
    if (armed_ && std::string(path).ends_with("/manifest.json.tmp")) {
      commit_writes_.set_value();
      snapshot_syncs_.get_future().wait();
      armed_ = false;
      errno = EIO;
      return -1;
    }
    return kernel_.open(path, flags, mode);
  }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return kernel_.write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return kernel_.ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override {
    if (snapshot_thread_ == std::this_thread::get_id() && !told_.exchange(true)) {
      snapshot_syncs_.set_value();
      commit_failed.get_future().wait();
    }
    return kernel_.fdatasync(fd);
  }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return kernel_.allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return kernel_.link(from, to); }
  int rename(const char* from, const char* to) noexcept override { return kernel_.rename(from, to); }
  int unlink(const char* path) noexcept override { return kernel_.unlink(path); }

  void arm() { armed_ = true; }
  void wait_until_the_commit_writes() { commit_writes_.get_future().wait(); }
  void this_thread_snapshots() { snapshot_thread_ = std::this_thread::get_id(); }
  std::promise<void> commit_failed;

 private:
  io::SyncOps& kernel_ = io::kernel_sync();
  std::atomic<bool> armed_{false};
  std::atomic<bool> told_{false};
  std::atomic<std::thread::id> snapshot_thread_{};
  std::promise<void> commit_writes_;
  std::promise<void> snapshot_syncs_;
};

TEST_F(CommitSafety, AFailureOfACommitStandsThoughASnapshotIsSyncedMeanwhile) {
  FailsBetween sync;
  const auto store = Store::create(options(&sync), small_layout(3));
  commit_step(*store, 1);
  write_step(*store, 1, 2);
  const std::vector<Checksum> checksums = checksums_of_slot(*store, 1);
  sync.arm();
  std::thread commits([&] { message_of(ErrorKind::storage, [&] { store->commit({1, {{"step", 2}}, checksums}); }); });
  sync.wait_until_the_commit_writes();
  std::thread snapshots([&] {
    sync.this_thread_snapshots();
    store->snapshot(0);
  });
  commits.join();
  sync.commit_failed.set_value();
  snapshots.join();
  EXPECT_NE(message_of(ErrorKind::storage, [&] { store->commit({1, {{"step", 2}}, checksums}); }).find("an earlier commit failed"), std::string::npos);
}

}  // namespace
}  // namespace gsnake::store
