#include "store/folder/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "child_process.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using testing::ChildProcess;
using testing::message_of;
using testing::TemporaryDirectory;
using testing::tree;

TEST(DirectoryLock, TellsPidAndRunOfItsOwner) {
  const TemporaryDirectory directory;
  const DirectoryLock lock = DirectoryLock::acquire(directory.path(), "0123abcd");
  std::ifstream file(directory / "gsnake-lock");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, fmt::format("{} 0123abcd", ::getpid()));
}

TEST(DirectoryLock, RefusesASecondOwnerWithPidAndRunOfTheFirst) {
  const TemporaryDirectory directory;
  const ChildProcess child([&](const ChildProcess::Tell& tell) {
    const DirectoryLock lock = DirectoryLock::acquire(directory.path(), "cafe");
    tell("locked");
  });
  ASSERT_EQ(child.said(), "locked");
  const std::string message = message_of(ErrorKind::storage, [&] { DirectoryLock::acquire(directory.path(), "other"); });
  EXPECT_EQ(message, fmt::format("{} is in use by process {} (run cafe); stop it or choose another folder", directory.path(), child.pid()));
}

TEST(DirectoryLock, IsTakenOverFromAKilledOwner) {
  const TemporaryDirectory directory;
  ChildProcess child([&](const ChildProcess::Tell& tell) {
    const DirectoryLock lock = DirectoryLock::acquire(directory.path(), "a-long-run-id-that-leaves-a-tail");
    tell("locked");
  });
  ASSERT_EQ(child.said(), "locked");
  child.kill();
  EXPECT_EQ(tree(directory.path()), std::set<std::string>{"gsnake-lock"});
  const DirectoryLock lock = DirectoryLock::acquire(directory.path(), "new");
  const std::string message = message_of(ErrorKind::storage, [&] { DirectoryLock::acquire(directory.path(), "third"); });
  EXPECT_NE(message.find(fmt::format("process {} (run new);", ::getpid())), std::string::npos) << message;
}

TEST(DirectoryLock, IsFreeAfterItsOwnerIsDestroyedOrRemoved) {
  const TemporaryDirectory directory;
  { const DirectoryLock lock = DirectoryLock::acquire(directory.path(), "one"); }
  DirectoryLock lock = DirectoryLock::acquire(directory.path(), "two");
  DirectoryLock moved = std::move(lock);
  lock.remove();  // NOLINT(bugprone-use-after-move): a moved-from lock is promised to do nothing
  EXPECT_EQ(tree(directory.path()), std::set<std::string>{"gsnake-lock"});
  moved.remove();
  EXPECT_TRUE(tree(directory.path()).empty());
  moved.remove();
  EXPECT_NO_THROW(DirectoryLock::acquire(directory.path(), "three"));
}

// The trap of lock files that are removed: one process locks the unlinked file, the next one a new file of the same name, and both go on.
TEST(DirectoryLock, NeverHasTwoOwnersWhileOwnersRemoveTheFile) {
  const TemporaryDirectory directory;
  std::atomic<int> owners{0};
  std::atomic<int> turns{0};
  std::atomic<bool> shared{false};
  const auto contend = [&] {
    for (int attempt = 0; attempt < 4000 && turns < 300; ++attempt) {
      try {
        DirectoryLock lock = DirectoryLock::acquire(directory.path(), "x");
        if (owners.fetch_add(1) != 0) shared = true;
        std::this_thread::yield();
        owners.fetch_sub(1);
        ++turns;
        lock.remove();
      } catch (const Error&) {
        std::this_thread::yield();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(contend);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(shared);
  EXPECT_GT(turns, 0);
  EXPECT_TRUE(tree(directory.path()).empty());
}

TEST(DirectoryLock, LeavesAFileThatReplacedItsOwn) {
  const TemporaryDirectory directory;
  DirectoryLock lock = DirectoryLock::acquire(directory.path(), "one");
  std::filesystem::remove(directory / "gsnake-lock");
  const DirectoryLock other = DirectoryLock::acquire(directory.path(), "two");
  lock.remove();
  EXPECT_EQ(tree(directory.path()), std::set<std::string>{"gsnake-lock"});
}

TEST(DirectoryLock, NamesTheFileThatCannotBeMade) {
  const std::string message = message_of(ErrorKind::storage, [] { DirectoryLock::acquire("/proc", "x"); });
  EXPECT_NE(message.find("/proc/gsnake-lock"), std::string::npos) << message;
}

}  // namespace
}  // namespace gsnake::store
