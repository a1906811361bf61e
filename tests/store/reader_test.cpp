// Reading a run's last commit while a trainer may replace it.
#include <sys/mount.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

class ReaderTest : public ::testing::Test {
 protected:
  StoreOptions options() const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    return options;
  }
  std::unique_ptr<Store> trainer(int slots = 2) const {
    auto store = Store::create(options(), small_layout(slots));
    commit_step(*store, 1);
    return store;
  }

  TemporaryDirectory directory_;
};

TEST_F(ReaderTest, ReadsTheLastCommitOfARunThatIsOpen) {
  const auto store = trainer();
  const auto reader = Store::open_reader(options());
  EXPECT_EQ(committed_step(*reader), 1U);
  EXPECT_EQ(reader->run_id(), store->run_id());
  reader->verify({});
  expect_step(*reader, reader->committed_slot(), 1);
}

TEST_F(ReaderTest, HoldsTheTrainerOffWhatItReadsAndOnlyAsLongAsItLives) {
  const auto store = trainer();
  EXPECT_TRUE(store->exclude_readers());
  store->admit_readers();
  {
    const auto one = Store::open_reader(options());
    const auto other = Store::open_reader(options());
    EXPECT_FALSE(store->exclude_readers());
  }
  EXPECT_TRUE(store->exclude_readers());
}

TEST_F(ReaderTest, WaitsForTheCommitThatReplacesTheLastOneAndReadsTheNewOne) {
  const auto store = trainer();
  ASSERT_TRUE(store->exclude_readers());
  auto reader = std::async(std::launch::async, [&] { return Store::open_reader(options()); });
  EXPECT_EQ(reader.wait_for(milliseconds(100)), std::future_status::timeout);
  commit_step(*store, 2);
  store->admit_readers();
  const auto opened = reader.get();
  EXPECT_EQ(committed_step(*opened), 2U);
  EXPECT_FALSE(store->exclude_readers());
}

// The protocol as a trainer keeps it: no commit while the last one is read; each of the reads sees one step's bytes.
TEST_F(ReaderTest, NeverSeesTwoStepsMixed) {
  const auto store = trainer();
  std::atomic<bool> stop{false};
  std::atomic<int> declined{0};
  std::atomic<int> commits{0};
  std::thread trains([&] {
    for (std::uint64_t step = 2; !stop; ++step) {
      const int slot = 1 - store->committed_slot();
      write_step(*store, slot, step);
      if (!store->exclude_readers()) {
        ++declined;
        continue;
      }
      store->commit({slot, {{"step", step}}, checksums_of_slot(*store, slot)});
      store->admit_readers();
      ++commits;
    }
  });
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 20 && !HasFailure(); ++i) {
    for (const int before = commits; commits == before;) std::this_thread::sleep_for(milliseconds(1));
    const auto reader = Store::open_reader(options());
    ASSERT_NO_THROW(reader->verify({}));
    expect_step(*reader, reader->committed_slot(), committed_step(*reader));
    seen.insert(committed_step(*reader));
  }
  stop = true;
  trains.join();
  EXPECT_GT(seen.size(), 10U) << "the run went on";
  EXPECT_GT(declined, 0) << "and was held off";
}

// Whichever way a trainer starts, and whichever of the run's folders the reader was given.
TEST_F(ReaderTest, TrainersThatStartWaitUntilItHasEnded) {
  for (const bool discards : {false, true}) {
    for (const char* name : {"run", "b"}) {
      SCOPED_TRACE(std::string(discards ? "a new run over one that is read from " : "a resume of one that is read from ") + name);
      StoreOptions starting = options();
      starting.overwrite = true;
      { commit_step(*Store::create(starting, small_layout(2)), 1); }
      StoreOptions reading = options();
      reading.run_dir = directory_ / name;
      auto reader = Store::open_reader(reading);
      std::atomic<int> told{0};
      starting.progress = [&](const std::string& what, std::uint64_t, std::uint64_t) {
        if (what.find("reads the run") != std::string::npos) ++told;
      };
      auto started = std::async(std::launch::async, [&] {
        return discards ? Store::create(starting, small_layout(2)) : Store::open(starting, no_scratch());
      });
      while (told == 0) ASSERT_EQ(started.wait_for(milliseconds(5)), std::future_status::timeout) << "it did not wait";
      reader->verify({});
      expect_step(*reader, reader->committed_slot(), 1);
      reader.reset();
      const auto store = started.get();
      EXPECT_EQ(store->manifest() == nullptr, discards);
    }
  }
}

TEST_F(ReaderTest, AStartThatWaitsForItCanBeStopped) {
  trainer().reset();
  const auto reader = Store::open_reader(options());
  StoreOptions starting = options();
  starting.overwrite = true;
  starting.progress = [](const std::string&, std::uint64_t, std::uint64_t) { throw std::runtime_error("stopped"); };
  EXPECT_THROW(Store::open(starting, no_scratch()), std::runtime_error);
  EXPECT_FALSE(fs::exists(directory_ / "run/gsnake-lock"));
  EXPECT_THROW(Store::create(starting, small_layout(2)), std::runtime_error);
  EXPECT_FALSE(fs::exists(directory_ / "run/gsnake-lock"));
  reader->verify({});
}

TEST_F(ReaderTest, WritesNothing) {
  trainer(3).reset();
  const std::set<std::string> before = tree(directory_.path());
  const auto times = [&] {
    std::vector<fs::file_time_type> all;
    for (const std::string& name : before) {
      if (fs::is_regular_file(directory_ / name)) all.push_back(fs::last_write_time(directory_ / name));
    }
    return all;
  };
  const auto written = times();
  {
    const auto reader = Store::open_reader(options());
    reader->verify({});
    const Extent first = whole_object(small_layout(3), 0, 0);
    const memory::AnonymousMemory data(first.bytes);
    message_of(ErrorKind::usage, [&] { reader->write(first, 0, data.data()); });
    message_of(ErrorKind::usage, [&] { reader->commit({1, {}, {}}); });
    message_of(ErrorKind::usage, [&] { reader->snapshot(0); });
    message_of(ErrorKind::usage, [&] { reader->retract_manifest(); });
  }
  EXPECT_EQ(tree(directory_.path()), before);
  EXPECT_TRUE(times() == written);
}

TEST_F(ReaderTest, ReadsAFileSystemThatIsReadOnly) {
  fs::create_directory(directory_ / "small");
  const std::string mounted = directory_ / "small";
  if (::mount("gsnake-test", mounted.c_str(), "tmpfs", 0, "size=8m") != 0) GTEST_SKIP() << "no tmpfs: mount: " << std::strerror(errno);
  StoreOptions where = make_options(mounted + "/run", {mounted + "/a"});
  { commit_step(*Store::create(where, small_layout(2)), 1); }
  EXPECT_EQ(::mount("gsnake-test", mounted.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
  EXPECT_NO_THROW(Store::open_reader(where)->verify({}));
  ::umount2(mounted.c_str(), MNT_DETACH);
}

TEST_F(ReaderTest, IsRefusedWithoutACommitAndForDamage) {
  {
    const auto store = trainer(1);
    store->retract_manifest();
    EXPECT_NE(message_of(ErrorKind::storage, [&] { Store::open_reader(options()); }).find("there is no manifest.json"), std::string::npos);
    store->commit({0, {{"step", 1}}, checksums_of_slot(*store, 0)});
  }
  std::fstream(directory_ / "a/gsnake-weights.bin", std::ios::in | std::ios::out) << "damage";
  const auto reader = Store::open_reader(options());
  message_of(ErrorKind::storage, [&] { reader->verify({}); });
}

// With the newest commit torn everywhere, the one before counts if it verifies; a reader leaves the folders as they are.
TEST_F(ReaderTest, FallsBackOnTheCommitBeforeAndRepairsNothing) {
  {
    const auto store = trainer();
    commit_step(*store, 2);
  }
  for (const char* folder : {"run", "a", "b"}) fs::resize_file(directory_ / (std::string(folder) + "/manifest.json"), 50);
  const auto reader = Store::open_reader(options());
  EXPECT_EQ(committed_step(*reader), 1U);
  expect_step(*reader, reader->committed_slot(), 1);
  EXPECT_EQ(fs::file_size(directory_ / "run/manifest.json"), 50U);
}

}  // namespace
}  // namespace gsnake::store
