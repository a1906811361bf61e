#include "io/directories.h"
#include "io/durable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "greedysnake/error.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryDirectory;

class DirectoriesTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
};

TEST_F(DirectoriesTest, MakesWhatIsMissingAndReportsIt) {
  const std::string a = directory_.file("a");
  EXPECT_THAT(make_directories(a + "/b/c/"), ElementsAre(a, a + "/b", a + "/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(a + "/b/c"));
  EXPECT_THAT(make_directories(a + "/b/c"), IsEmpty());
  EXPECT_THAT(make_directories(a + "/b/../d"), ElementsAre(a + "/d"));
}

TEST_F(DirectoriesTest, RemovesWhatItMadeAndNothingElse) {
  const std::string a = directory_.file("a");
  const std::vector<std::string> made = make_directories(a + "/b/c");
  remove_directories(made);
  EXPECT_FALSE(std::filesystem::exists(a));
  EXPECT_TRUE(std::filesystem::exists(directory_.path()));
}

TEST_F(DirectoriesTest, LeavesAFolderThatIsNotEmpty) {
  const std::string a = directory_.file("a");
  const std::vector<std::string> made = make_directories(a + "/b/c");
  std::ofstream(a + "/b/file") << "kept";
  remove_directories(made);
  EXPECT_FALSE(std::filesystem::exists(a + "/b/c"));
  EXPECT_TRUE(std::filesystem::exists(a + "/b/file"));
}

TEST_F(DirectoriesTest, RefusesAFileInTheWayAndLeavesNothing) {
  const std::string file = directory_.file("file");
  std::ofstream(file) << "here";
  EXPECT_THROW(make_directories(file), Error);
  EXPECT_THROW(make_directories(file + "/below"), Error);
  EXPECT_THROW(make_directories(""), Error);
  // The second name is too long for any file system: the first folder is made and must go again.
  EXPECT_THROW(make_directories(directory_.file("new/") + std::string(300, 'x')), Error);
  EXPECT_FALSE(std::filesystem::exists(directory_.file("new")));
}

TEST_F(DirectoriesTest, FreeBytesAndSyncNameAMissingFolder) {
  EXPECT_GT(free_bytes(directory_.path()), 0U);
  EXPECT_NO_THROW(sync_directory(kernel_sync(), directory_.path()));
  const std::string missing = directory_.file("missing");
  for (const auto& call :
       {+[](const std::string& path) { static_cast<void>(free_bytes(path)); }, +[](const std::string& path) { sync_directory(kernel_sync(), path); },
        +[](const std::string& path) { require_writable_directory(path); }}) {
    try {
      call(missing);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::storage);
      EXPECT_THAT(error.what(), HasSubstr(missing));
    }
  }
}

TEST_F(DirectoriesTest, WritableFolderIsLeftEmpty) {
  require_writable_directory(directory_.path());
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(DirectoriesTest, RefusesAFolderThatMayNotBeWritten) {
  if (::geteuid() == 0) {
    // Permissions don't hold root; /proc refuses new files to everyone.
    EXPECT_THROW(require_writable_directory("/proc"), Error);
    return;
  }
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0500), 0);
  EXPECT_THROW(require_writable_directory(directory_.path()), Error);
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0700), 0);
}

TEST_F(DirectoriesTest, TemporaryPathsDiffer) { EXPECT_NE(temporary_path("/x"), temporary_path("/x")); }

}  // namespace
}  // namespace gsnake::io
