// Snapshots: copies of commits, and going back to one.
#include <sys/mount.h>

#include <atomic>
#include <fstream>
#include <future>
#include <string_view>
#include <thread>

#include "io/durable.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class SnapshotTest : public ::testing::Test {
 protected:
  StoreOptions options(int places = 0) const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    options.snapshot_places = places;
    return options;
  }
  StoreOptions back_to(std::int64_t step) const {
    StoreOptions back = options();
    back.from_step = step;
    return back;
  }

  // Steps 1 to 5; snapshots of 2 and 4.
  void train() const {
    const auto store = Store::create(options(), small_layout(4));
    for (std::uint64_t step = 1; step <= 5; ++step) {
      commit_step(*store, step);
      if (step % 2 == 0) store->snapshot(static_cast<int>(step / 2 - 1));
    }
  }

  static std::vector<std::uint64_t> steps_of(const Store& store) {
    std::vector<std::uint64_t> steps;
    for (const Snapshot& snapshot : store.snapshots()) steps.push_back(snapshot.training.at("step"));
    return steps;
  }

  TemporaryDirectory directory_;
};

TEST_F(SnapshotTest, OutlivesLaterStepsAndTheStore) {
  train();
  const auto store = Store::open(options(), no_scratch());
  EXPECT_EQ(store->snapshot_places(), 2);
  EXPECT_EQ(steps_of(*store), (std::vector<std::uint64_t>{2, 4}));
  expect_step(*store, 2, 2);
  expect_step(*store, 3, 4);
  expect_step(*store, store->committed_slot(), 5);
}

TEST_F(SnapshotTest, OpeningFromItsStepMakesItTheLastCommit) {
  train();
  {
    const auto store = Store::open(back_to(2), no_scratch());
    EXPECT_EQ(committed_step(*store), 2U);
    EXPECT_EQ(store->manifest()->generation, 6U);
    EXPECT_EQ(store->committed_slot(), 1) << "step 5 stands in slot 0";
    store->verify({});
    expect_step(*store, 1, 2);
    EXPECT_EQ(steps_of(*store), (std::vector<std::uint64_t>{2, 4})) << "snapshots stay";
    commit_step(*store, 3);
  }
  const auto store = Store::open(back_to(4), no_scratch());
  expect_step(*store, store->committed_slot(), 4);
}

TEST_F(SnapshotTest, OpeningFromTheLastStepOnlyVerifiesIt) {
  train();
  EXPECT_EQ(Store::open(back_to(5), no_scratch())->manifest()->generation, 5U);
  std::fstream(directory_ / "a/gsnake-weights.bin", std::ios::in | std::ios::out) << "damage";  // of slot 0
  message_of(ErrorKind::storage, [&] { Store::open(back_to(5), no_scratch()); });
}

TEST_F(SnapshotTest, AnUnknownStepIsRefusedWithTheStepsThatExist) {
  train();
  const std::string message = message_of(ErrorKind::usage, [&] { Store::open(back_to(3), no_scratch()); });
  EXPECT_NE(message.find("of 2, 4, 5"), std::string::npos) << message;
  EXPECT_EQ(committed_step(*Store::open(options(), no_scratch())), 5U);
}

TEST_F(SnapshotTest, ADamagedOneIsRefusedAndTheLastCommitStays) {
  train();
  std::fstream file(directory_ / "a/gsnake-weights.bin", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-100, std::ios::end);  // the end of the last slot
  file << "damage";
  file.close();
  const std::string message = message_of(ErrorKind::storage, [&] { Store::open(back_to(4), no_scratch()); });
  EXPECT_NE(message.find("slot 3"), std::string::npos) << message;
  const auto store = Store::open(options(), no_scratch());
  EXPECT_EQ(committed_step(*store), 5U);
  store->verify({});
}

TEST_F(SnapshotTest, ATornManifestIsSurvivedWhileAnotherFolderHasIt) {
  train();
  fs::resize_file(directory_ / "run/snapshot-0.json", 10);
  fs::resize_file(directory_ / "a/checksums-snapshot-0.bin", 10);
  EXPECT_EQ(steps_of(*Store::open(options(), no_scratch())), (std::vector<std::uint64_t>{2, 4}));
  fs::resize_file(directory_ / "b/snapshot-0.json", 10);
  EXPECT_EQ(steps_of(*Store::open(options(), no_scratch())), std::vector<std::uint64_t>{4});
}

TEST_F(SnapshotTest, IsRefusedOfACommitThatTheDriveHasChangedAndLeavesThePlaceEmpty) {
  train();
  const auto store = Store::open(options(), no_scratch());
  std::fstream(directory_ / "a/gsnake-weights.bin", std::ios::in | std::ios::out) << "damage";
  message_of(ErrorKind::storage, [&] { store->snapshot(0); });
  EXPECT_EQ(steps_of(*store), std::vector<std::uint64_t>{4});
  for (const char* folder : {"run", "a", "b"}) EXPECT_FALSE(fs::exists(directory_ / (std::string(folder) + "/snapshot-0.json")));
}

TEST_F(SnapshotTest, OfACommitWithoutChecksumsHasSome) {
  {
    const auto store = Store::create(options(), small_layout(3));
    write_step(*store, 0, 1);
    store->commit({0, {{"step", 1}}, {}});
    store->snapshot(0);
    commit_step(*store, 2);
  }
  const auto store = Store::open(back_to(1), no_scratch());
  store->verify({});
  expect_step(*store, store->committed_slot(), 1);
}

TEST_F(SnapshotTest, PlacesThatAreNotThereAreRefused) {
  const auto store = Store::create(options(), small_layout(3));
  message_of(ErrorKind::usage, [&] { store->snapshot(0); });
  commit_step(*store, 1);
  message_of(ErrorKind::usage, [&] { store->snapshot(1); });
  message_of(ErrorKind::usage, [&] { store->snapshot(-1); });
  store->snapshot(0);
}

// The kernel's calls; tells when a snapshot has begun: it has chosen its commit before it takes the place's old manifest away.
class TellsOfSnapshot final : public io::SyncOps {
 public:
  int unlink(const char* path) noexcept override {
    if (std::string_view(path).ends_with("snapshot-0.json") && !told_.exchange(true)) begun_.set_value();
    return kernel_.unlink(path);
  }
  int open(const char* path, int flags, mode_t mode) noexcept override { return kernel_.open(path, flags, mode); }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return kernel_.write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return kernel_.ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return kernel_.fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return kernel_.allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return kernel_.link(from, to); }
  int rename(const char* from, const char* to) noexcept override { return kernel_.rename(from, to); }

  void wait() { begun_.get_future().wait(); }

 private:
  io::SyncOps& kernel_ = io::kernel_sync();
  std::atomic<bool> told_{false};
  std::promise<void> begun_;
};

TEST_F(SnapshotTest, IsTakenWhileOthersReadWriteAndCommit) {
  TellsOfSnapshot sync;
  StoreOptions narrow = options();
  narrow.engine_options.depth = 8;
  narrow.sync = &sync;
  Layout layout = sample_layout();
  for (std::size_t kind = 0; kind < 3; ++kind) layout.kinds[kind].slots = 3;
  const auto busy = Store::create(narrow, layout);
  commit_step(*busy, 1);
  std::thread snapshot([&] { busy->snapshot(0); });
  sync.wait();
  write_step(*busy, 1, 2);
  busy->commit({1, {{"step", 2}}, checksums_of_slot(*busy, 1)});
  snapshot.join();
  expect_step(*busy, 2, 1);
  expect_step(*busy, 1, 2);
  EXPECT_EQ(steps_of(*busy), std::vector<std::uint64_t>{1});
}

TEST_F(SnapshotTest, MorePlacesLengthenTheFilesAndFewerKeepThem) {
  {
    const auto store = Store::create(options(), small_layout(2));
    commit_step(*store, 1);
    commit_step(*store, 2);
  }
  const auto bytes = [&] { return fs::file_size(directory_ / "a/gsnake-weights.bin") + fs::file_size(directory_ / "b/gsnake-weights.bin"); };
  const std::uint64_t before = bytes();
  {
    const auto store = Store::open(options(3), no_scratch());
    EXPECT_EQ(store->snapshot_places(), 3);
    EXPECT_EQ(bytes(), before / 2 * 5);
    store->verify({});
    store->snapshot(2);
  }
  const auto store = Store::open(options(1), no_scratch());
  EXPECT_EQ(store->snapshot_places(), 3) << "without another commit";
  EXPECT_EQ(bytes(), before / 2 * 5);
  EXPECT_EQ(steps_of(*store), std::vector<std::uint64_t>{2});
  expect_step(*store, 4, 2);
  EXPECT_EQ(store->manifest()->generation, 2U);
}

TEST_F(SnapshotTest, PlacesForWhichThereIsNoSpaceAreRefusedAndNothingIsChanged) {
  { commit_step(*Store::create(options(), small_layout(2)), 1); }
  const std::set<std::string> before = tree(directory_.path());
  const std::uint64_t bytes = fs::file_size(directory_ / "a/gsnake-weights.bin");
  fs::create_directory(directory_ / "small");
  if (::mount("gsnake-test", (directory_ / "small").c_str(), "tmpfs", 0, "size=2m") != 0) GTEST_SKIP() << "no small file system";
  StoreOptions where = options();
  where.run_dir = directory_ / "small/run";
  where.ssd_paths = {directory_ / "c", directory_ / "small/ssd"};
  { commit_step(*Store::create(where, small_layout(2)), 1); }
  where.snapshot_places = 20;
  const std::string message = message_of(ErrorKind::storage, [&] { Store::open(where, no_scratch()); });
  EXPECT_NE(message.find("free"), std::string::npos) << message;
  where.snapshot_places = 0;
  EXPECT_EQ(Store::open(where, no_scratch())->snapshot_places(), 0);
  ::umount2((directory_ / "small").c_str(), MNT_DETACH);
  fs::remove(directory_ / "small");
  EXPECT_EQ(fs::file_size(directory_ / "a/gsnake-weights.bin"), bytes);
}

TEST_F(SnapshotTest, NeedTwoSlots) {
  { Store::create(options(), small_layout(1))->commit(Commit{}); }
  message_of(ErrorKind::usage, [&] { Store::open(options(1), no_scratch()); });
}

}  // namespace
}  // namespace gsnake::store
