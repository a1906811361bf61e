// What create() refuses, before it does any work, leaving nothing behind.
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "child_process.h"
#include "core/bytes.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class CreateRefusalTest : public ::testing::Test {
 protected:
  StoreOptions options(const std::vector<std::string>& names, const std::string& run = "run") const {
    StoreOptions options;
    options.run_dir = directory_ / run;
    for (const std::string& name : names) options.ssd_paths.push_back(directory_ / name);
    if (names.size() > 1) options.stripe_weights.assign(names.size(), 1.0);
    options.engine = io::EngineChoice::threads;
    return options;
  }

  // Refused with that kind and a message that has `part`; the tree is as it was.
  void expect_refusal(const StoreOptions& options, const Layout& layout, ErrorKind kind, const std::string& part) const {
    const std::set<std::string> before = tree(directory_.path());
    const std::string message = message_of(kind, [&] { Store::create(options, layout); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(tree(directory_.path()), before);
  }

  static Layout layout_of(std::uint64_t bytes) {
    Layout layout;
    layout.kinds[0] = kind_of(1, {core::round_up(bytes, kExtentAlignment)});
    return layout;
  }

  static std::uint64_t free_bytes(const std::string& path) {
    struct statvfs status {};
    EXPECT_EQ(::statvfs(path.c_str(), &status), 0);
    return std::uint64_t{status.f_bavail} * status.f_frsize;
  }

  TemporaryDirectory directory_;
};

// A tmpfs of a few MiB; empty where this process may not mount one.
class SmallFileSystem {
 public:
  SmallFileSystem(std::string path, const char* settings) : path_(std::move(path)) {
    fs::create_directory(path_);
    if (::mount("gsnake-test", path_.c_str(), "tmpfs", 0, settings) != 0) error_ = errno;
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  ~SmallFileSystem() {
    if (error_ == 0) ::umount2(path_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] bool make_read_only() const { return ::mount("gsnake-test", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "") == 0; }

 private:
  std::string path_;
  int error_ = 0;
};

TEST_F(CreateRefusalTest, MoreThanIsFreeIsRefusedWithNeedAndRemedy) {
  const std::string message = message_of(ErrorKind::storage, [&] { Store::create(options({"deep/er/ssd"}), layout_of(1ULL << 56)); });
  EXPECT_NE(message.find(directory_ / "deep/er/ssd"), std::string::npos) << message;
  EXPECT_NE(message.find(core::format_bytes(1ULL << 56)), std::string::npos) << message;
  EXPECT_NE(message.find("free"), std::string::npos) << message;
  EXPECT_TRUE(tree(directory_.path()).empty());
}

TEST_F(CreateRefusalTest, PathsOnOneFileSystemAreAddedUp) {
  const std::uint64_t free = free_bytes(directory_.path());
  const StoreOptions both = options({"a", "b"});
  expect_refusal(both, layout_of(free + free / 2), ErrorKind::storage, both.ssd_paths[0] + " and " + both.ssd_paths[1]);
}

TEST_F(CreateRefusalTest, AFullFileSystemIsFoundBeforeTraining) {
  const SmallFileSystem small(directory_ / "small", "size=4m");
  if (small.error() != 0) GTEST_SKIP() << "no small file system: mount: " << std::strerror(small.error());
  expect_refusal(options({"small/ssd"}), layout_of(8ULL << 20), ErrorKind::storage, "only ");
  // One of two paths has no room: the other one's file goes as well.
  expect_refusal(options({"large", "small/ssd"}), layout_of(16ULL << 20), ErrorKind::storage, directory_ / "small/ssd");
}

TEST_F(CreateRefusalTest, AnEarlierRunsSpaceCountsAsFreeWhenItIsReplaced) {
  const SmallFileSystem small(directory_ / "small", "size=8m");
  if (small.error() != 0) GTEST_SKIP() << "no small file system: mount: " << std::strerror(small.error());
  StoreOptions again = options({"small/ssd"});
  { Store::create(again, layout_of(6ULL << 20))->commit(Commit{}); }
  again.overwrite = true;
  { Store::create(again, layout_of(7ULL << 20))->commit(Commit{}); }
  // And a refusal comes before the earlier run is touched.
  message_of(ErrorKind::storage, [&] { Store::create(again, layout_of(9ULL << 20)); });
  EXPECT_EQ(Store::open(again, no_scratch())->layout().kinds[0].padded_bytes[0], 7ULL << 20);
}

TEST_F(CreateRefusalTest, AReadOnlyFileSystemIsRefused) {
  const SmallFileSystem small(directory_ / "small", "size=4m");
  if (small.error() != 0) GTEST_SKIP() << "no small file system: mount: " << std::strerror(small.error());
  fs::create_directory(directory_ / "small/ssd");
  ASSERT_TRUE(small.make_read_only());
  expect_refusal(options({"small/ssd"}), sample_layout(), ErrorKind::storage, "Read-only file system");
  expect_refusal(options({"small/new"}), sample_layout(), ErrorKind::storage, "Read-only file system");
  expect_refusal(options({"ssd"}, "small/run"), sample_layout(), ErrorKind::storage, "Read-only file system");
}

TEST_F(CreateRefusalTest, APathThatCannotBeAFolderIsRefused) {
  std::ofstream(directory_ / "file") << "x";
  expect_refusal(options({"file"}), sample_layout(), ErrorKind::storage, directory_ / "file");
  expect_refusal(options({"new", "file/below"}), sample_layout(), ErrorKind::storage, directory_ / "file");
  expect_refusal(options({"ssd"}, "file/run"), sample_layout(), ErrorKind::storage, directory_ / "file");
  StoreOptions proc = options({"ssd"});
  proc.ssd_paths = {"/proc/gsnake"};
  expect_refusal(proc, sample_layout(), ErrorKind::storage, "/proc/gsnake");
}

TEST_F(CreateRefusalTest, AFolderNamedTwiceIsAUsageError) {
  expect_refusal(options({"a", "b", "a"}), sample_layout(), ErrorKind::usage, "twice");
  expect_refusal(options({"a", "b/../a/"}), sample_layout(), ErrorKind::usage, "twice");
  fs::create_directory(directory_ / "real");
  fs::create_directory_symlink(directory_ / "real", directory_ / "link");
  expect_refusal(options({"real", "link"}), sample_layout(), ErrorKind::usage, "twice");
}

TEST_F(CreateRefusalTest, PathsAndWeightsThatDoNotMatchAreUsageErrors) {
  expect_refusal(options({}), sample_layout(), ErrorKind::usage, "ssd.paths is empty");
  StoreOptions odd = options({"a", "b"});
  odd.stripe_weights = {1.0};
  expect_refusal(odd, sample_layout(), ErrorKind::usage, "ssd.weights has 1 numbers for 2 folders");
  odd.stripe_weights = {1.0, -1.0};
  expect_refusal(odd, sample_layout(), ErrorKind::usage, "ssd.weights");
}

TEST_F(CreateRefusalTest, ALayoutThatBreaksItsRulesIsRefused) {
  Layout layout = sample_layout();
  layout.kinds[1].padded_bytes[0] += 512;
  expect_refusal(options({"a"}), layout, ErrorKind::usage, "moment1");
  layout = sample_layout();
  layout.kinds[4].slots = 2;
  expect_refusal(options({"a"}), layout, ErrorKind::usage, "activations");
}

TEST_F(CreateRefusalTest, AFolderInUseIsRefusedWithTheOwnersPid) {
  const ChildProcess child([&](const ChildProcess::Tell& tell) {
    const auto store = Store::create(options({"a", "shared"}), sample_layout());
    tell("created");
  });
  ASSERT_EQ(child.said(), "created");
  const std::string owner = "in use by process " + std::to_string(child.pid());
  expect_refusal(options({"other", "shared"}, "run2"), sample_layout(), ErrorKind::storage, directory_ / ("shared is " + owner));
  expect_refusal(options({"other"}, "run"), sample_layout(), ErrorKind::storage, directory_ / ("run is " + owner));
  expect_refusal(options({"run"}, "run2"), sample_layout(), ErrorKind::storage, directory_ / ("run is " + owner));
}

TEST_F(CreateRefusalTest, AnEarlierRunIsRefusedUnlessOverwritten) {
  { Store::create(options({"a", "b"}), sample_layout())->commit(Commit{}); }
  expect_refusal(options({"a", "b"}), sample_layout(), ErrorKind::usage, "--overwrite");
  expect_refusal(options({"new", "b"}, "run2"), sample_layout(), ErrorKind::usage, (directory_ / "b") + " holds a run");
  fs::resize_file(directory_ / "a/manifest.json", 10);
  expect_refusal(options({"a"}, "run2"), sample_layout(), ErrorKind::usage, (directory_ / "a") + " holds a run");
  StoreOptions over = options({"a", "b"});
  over.overwrite = true;
  const auto store = Store::create(over, layout_of(1 << 20));
  EXPECT_FALSE(fs::exists(directory_ / "run/manifest.json"));
  EXPECT_FALSE(fs::exists(directory_ / "a/manifest.json"));
  EXPECT_FALSE(fs::exists(directory_ / "a/gsnake-moment1.bin")) << "the earlier run's files go";
}

TEST_F(CreateRefusalTest, FilesOfAKilledRunAreReplaced) {
  ChildProcess child([&](const ChildProcess::Tell& tell) {
    const auto store = Store::create(options({"a", "b"}), sample_layout());
    tell("created");
  });
  ASSERT_EQ(child.said(), "created");
  child.kill();
  ASSERT_TRUE(fs::exists(directory_ / "a/gsnake-weights.bin"));
  ASSERT_TRUE(fs::exists(directory_ / "a/gsnake-lock"));
  const auto store = Store::create(options({"a", "b"}), sample_layout());
  write_everything(*store);
  expect_state(*store);
}

TEST_F(CreateRefusalTest, FoldersThatWereThereStayWithTheirOtherFiles) {
  fs::create_directories(directory_ / "ssd");
  std::ofstream(directory_ / "ssd/notes.txt") << "mine";
  { Store::create(options({"ssd"}), sample_layout()); }
  EXPECT_EQ(tree(directory_.path()), (std::set<std::string>{"ssd", "ssd/notes.txt"}));
}

}  // namespace
}  // namespace gsnake::store
