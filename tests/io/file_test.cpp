#include "io/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/errors.h"
#include "io/directories.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

class FileTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  std::string path_ = directory_.file("data");
};

struct stat status_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status;
}

TEST_F(FileTest, CreateAllocatesTheBlocksOfAPrivateFile) {
  const File file = File::create(path_, 1 << 20, DirectIo::automatic);
  const struct stat status = status_of(path_);
  EXPECT_EQ(status.st_size, 1 << 20);
  EXPECT_GE(status.st_blocks * 512, 1 << 20);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(file.size_bytes(), 1U << 20);
  EXPECT_NE(::fcntl(file.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(FileTest, CreateMakesAnEmptyFile) {
  const File file = File::create(path_, 0, DirectIo::automatic);
  EXPECT_EQ(status_of(path_).st_size, 0);
  EXPECT_EQ(file.size_bytes(), 0U);
}

TEST_F(FileTest, CreateLeavesWhatIsThereAsItIs) {
  std::ofstream(path_) << "somebody's";
  try {
    static_cast<void>(File::create(path_, 4096, DirectIo::off));
    FAIL() << "created over a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_NE(std::string(error.what()).find(path_), std::string::npos) << error.what();
  }
  std::string text;
  std::getline(std::ifstream(path_), text);
  EXPECT_EQ(text, "somebody's");
}

TEST_F(FileTest, DirectAndAlignmentAgreeWithTheDescriptor) {
  const File file = File::create(path_, 65536, DirectIo::automatic);
  EXPECT_EQ((::fcntl(file.fd(), F_GETFL) & O_DIRECT) != 0, file.direct());
  EXPECT_EQ(file.buffered_reason().empty(), file.direct());
  if (file.direct()) {
    EXPECT_GE(file.alignment(), 512U);
  } else {
    EXPECT_EQ(file.alignment(), 1U);
  }
}

TEST_F(FileTest, ProbingLeavesANewFileFullOfZerosAndAnOldOneAsItWas) {
  { File file = File::create(path_, 8192, DirectIo::automatic); }
  {
    const File file = File::open_existing(path_, DirectIo::off);
    std::string bytes(8192, 'x');
    ASSERT_EQ(::pread(file.fd(), bytes.data(), bytes.size(), 0), 8192);
    EXPECT_EQ(bytes, std::string(8192, '\0'));
    bytes.assign(8192, 'y');
    ASSERT_EQ(::pwrite(file.fd(), bytes.data(), bytes.size(), 0), 8192);
  }
  static_cast<void>(File::open_existing(path_, DirectIo::automatic));
  const File file = File::open_existing(path_, DirectIo::off);
  std::string bytes(8192, 'x');
  ASSERT_EQ(::pread(file.fd(), bytes.data(), bytes.size(), 0), 8192);
  EXPECT_EQ(bytes, std::string(8192, 'y'));
}

TEST_F(FileTest, BufferedWhenAskedForSaysSo) {
  const File file = File::create(path_, 4096, DirectIo::off);
  EXPECT_FALSE(file.direct());
  EXPECT_EQ(file.alignment(), 1U);
  EXPECT_EQ(file.buffered_reason(), "asked for");
}

TEST_F(FileTest, TooLargeAFileNamesNeedAndFreeAndLeavesNothing) {
  const std::uint64_t need = free_bytes(directory_.path()) + (1ULL << 40);
  try {
    static_cast<void>(File::create(path_, need, DirectIo::automatic));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(path_), HasSubstr("TiB (free: "), HasSubstr("No space left on device"), HasSubstr("free some space")));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(FileTest, AFileOverTheSizeLimitIsRefusedAndDoesNotEndTheProcess) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 65536;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  try {
    static_cast<void>(File::create(path_, 1 << 20, DirectIo::automatic));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), std::errc::file_too_large);
    EXPECT_THAT(error.what(), HasSubstr("ulimit -f"));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(FileTest, RefusesWhatIsNoRegularFileAndLeavesItThere) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THROW(static_cast<void>(File::create(path_, 4096, DirectIo::off)), Error);
  EXPECT_THROW(static_cast<void>(File::open_existing(path_, DirectIo::off)), Error);
  EXPECT_TRUE(std::filesystem::is_fifo(path_));
}

TEST_F(FileTest, DoesNotFollowALinkWhenItCreates) {
  const std::string target = directory_.file("target");
  static_cast<void>(File::create(target, 4096, DirectIo::off));
  ASSERT_EQ(::symlink(target.c_str(), path_.c_str()), 0);
  EXPECT_THROW(static_cast<void>(File::create(path_, 0, DirectIo::off)), Error);
  EXPECT_EQ(status_of(target).st_size, 4096);
}

TEST_F(FileTest, OpenExistingNamesAMissingFile) {
  try {
    static_cast<void>(File::open_existing(path_, DirectIo::automatic));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error.what(), HasSubstr(path_));
  }
}

TEST_F(FileTest, SyncSurvivesAMoveOfTheFile) {
  File file = File::create(path_, 4096, DirectIo::off);
  const File moved = std::move(file);
  EXPECT_NO_THROW(moved.sync_data());
  EXPECT_EQ(moved.path(), path_);
  try {
    file.sync_data();
    FAIL() << "an empty file was synced";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), std::errc::bad_file_descriptor);
  }
}

// ramfs refuses O_DIRECT and tells no free space.
TEST_F(FileTest, FallsBackToBufferedWhereTheFileSystemRefusesDirect) {
  const std::string mounted = directory_.file("ramfs");
  ASSERT_EQ(::mkdir(mounted.c_str(), 0700), 0);
  if (::mount("none", mounted.c_str(), "ramfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "mounting a ramfs: " << core::errno_code().message();
  }
  try {
    const File file = File::create(mounted + "/data", 8192, DirectIo::automatic);
    EXPECT_FALSE(file.direct());
    EXPECT_EQ(file.alignment(), 1U);
    EXPECT_THAT(file.buffered_reason(), HasSubstr("Invalid argument"));
    EXPECT_EQ(::pwrite(file.fd(), "a", 1, 8191), 1);
  } catch (const Error& error) {
    ADD_FAILURE() << error.what();
  }
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

}  // namespace
}  // namespace gsnake::io
