// What open() makes of folders that were moved, swapped, lost or damaged since the commit.
#include <fcntl.h>

#include <fstream>

#include "child_process.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class ReopenTest : public ::testing::Test {
 protected:
  ReopenTest() {
    const auto store = Store::create(options({"a", "b", "c"}), sample_layout());
    write_everything(*store);
    store->commit(Commit{});
  }

  StoreOptions options(const std::vector<std::string>& names, const std::string& run = "run") const {
    StoreOptions options;
    options.run_dir = directory_ / run;
    for (const std::string& name : names) options.ssd_paths.push_back(directory_ / name);
    if (names.size() == 3) options.stripe_weights = {1.0, 0.25, 0.6};
    options.engine = io::EngineChoice::threads;
    return options;
  }

  void damage(const std::string& folder) const { fs::resize_file(directory_ / (folder + "/manifest.json"), 100); }

  std::string refusal(const StoreOptions& options) const {
    return message_of(ErrorKind::storage, [&] { Store::open(options, no_scratch()); });
  }

  TemporaryDirectory directory_;
};

TEST_F(ReopenTest, PathsMayComeInAnotherOrder) { expect_state(*Store::open(options({"c", "a", "b"}), no_scratch())); }

TEST_F(ReopenTest, PathsMayHaveOtherNames) {
  fs::rename(directory_ / "b", directory_ / "moved");
  {
    const auto store = Store::open(options({"moved", "c", "a"}), no_scratch());
    expect_state(*store);
    store->commit(Commit{});
  }
  expect_state(*Store::open(options({"a", "c", "moved"}), no_scratch()));
}

TEST_F(ReopenTest, TheNewestCopyWinsOverOlderOnes) {
  fs::copy_file(directory_ / "b/manifest.json", directory_ / "old");
  { Store::open(options({"a", "b", "c"}), no_scratch())->commit({0, {{"step", 2}}, {}}); }
  // As after a kill between the copies of a commit.
  fs::rename(directory_ / "old", directory_ / "b/manifest.json");
  fs::remove(directory_ / "run/manifest.json");
  const auto store = Store::open(options({"b", "a", "c"}), no_scratch());
  EXPECT_EQ(store->manifest()->generation, 2U);
  EXPECT_EQ(store->manifest()->training.at("step"), 2);
}

TEST_F(ReopenTest, TornCopiesAreSurvivedWhileOneIsValid) {
  damage("run");
  damage("a");
  damage("c");
  expect_state(*Store::open(options({"c", "b", "a"}), no_scratch()));
}

TEST_F(ReopenTest, ATornCopyInAMovedPathIsFoundByElimination) {
  damage("c");
  fs::rename(directory_ / "c", directory_ / "moved");
  expect_state(*Store::open(options({"moved", "b", "a"}), no_scratch()));
}

TEST_F(ReopenTest, NamesEveryTornCopyWhenNoneIsValid) {
  for (const char* folder : {"run", "a", "b", "c"}) damage(folder);
  const std::string message = refusal(options({"a", "b", "c"}));
  for (const char* folder : {"run", "a", "b", "c"})
    EXPECT_NE(message.find(directory_ / (std::string(folder) + "/manifest.json")), std::string::npos) << message;
}

TEST_F(ReopenTest, AMissingPathIsNamedWithWhatItHeld) {
  fs::rename(directory_ / "b", directory_ / "unmounted");
  const std::string message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find(directory_ / "b"), std::string::npos) << message;
  EXPECT_NE(message.find("does not exist and held a share of "), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(directory_ / "b")) << "opening must not make the folder";
}

// As when a drive is not mounted: its mount point is still there.
TEST_F(ReopenTest, AnEmptyFolderInAPathsPlaceIsAMissingPathWithTheObjectsItHeld) {
  fs::rename(directory_ / "a", directory_ / "unmounted");
  fs::create_directory(directory_ / "a");
  const std::string message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find((directory_ / "a") + ": it is there, but holds no file of this run, and held "), std::string::npos) << message;
  // Object 1 of the weights has 700 pages: a share of it is on every path; object 2 has none.
  EXPECT_NE(message.find("(weights 0-1"), std::string::npos) << message;
  EXPECT_EQ(message.find("weights 0-2"), std::string::npos) << message;
  EXPECT_NE(message.find("moment2 "), std::string::npos) << message;
  EXPECT_NE(message.find("(path 1 of 3); mount its drive"), std::string::npos) << message;
  EXPECT_TRUE(fs::is_empty(directory_ / "a")) << "the lock goes again";
  // Under another name it is no better, and says which folder is meant.
  fs::rename(directory_ / "a", directory_ / "new");
  EXPECT_NE(refusal(options({"new", "b", "c"})).find("of those, " + (directory_ / "new") + " holds no file"), std::string::npos);
  // The lost+found of a fresh file system does not make it the run's.
  fs::create_directory(directory_ / "new/lost+found");
  refusal(options({"new", "b", "c"}));
}

TEST_F(ReopenTest, APathThatLostItsManifestsIsFoundByItsStateFiles) {
  fs::remove(directory_ / "b/manifest.json");
  expect_state(*Store::open(options({"a", "b", "c"}), no_scratch()));
}

TEST_F(ReopenTest, APathThatIsNotNamedIsAskedFor) {
  const std::string message = refusal(options({"a", "c"}));
  EXPECT_NE(message.find((directory_ / "b") + ": it is not among ssd.paths and held a share of "), std::string::npos) << message;
}

TEST_F(ReopenTest, AnExtraPathIsRefused) {
  fs::create_directory(directory_ / "extra");
  const std::string message = refusal(options({"a", "b", "c", "extra"}));
  EXPECT_NE(message.find(directory_ / "extra"), std::string::npos) << message;
}

TEST_F(ReopenTest, AnotherRunsPathIsRefused) {
  { Store::create(options({"other"}, "run2"), sample_layout())->commit(Commit{}); }
  const std::string message = refusal(options({"a", "other", "c"}));
  EXPECT_NE(message.find((directory_ / "other") + ": it belongs to run "), std::string::npos) << message;
}

TEST_F(ReopenTest, ACopyOfAPathIsNotTakenForAnotherPath) {
  fs::remove_all(directory_ / "b");
  fs::copy(directory_ / "a", directory_ / "b");
  const std::string message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find("already"), std::string::npos) << message;
}

TEST_F(ReopenTest, ALostOrCutFileIsNamed) {
  fs::resize_file(directory_ / "b/gsnake-moment1.bin", kExtentAlignment);
  std::string message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find(directory_ / "b/gsnake-moment1.bin"), std::string::npos) << message;
  fs::remove(directory_ / "c/gsnake-weights.bin");
  message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find(directory_ / "c/gsnake-weights.bin"), std::string::npos) << message;
}

TEST_F(ReopenTest, AFailedOpenChangesNothing) {
  const std::set<std::string> before = tree(directory_.path());
  refusal(options({"a", "b"}));
  Layout scratch;
  scratch.kinds[4] = kind_of(1, {1ULL << 56});
  message_of(ErrorKind::storage, [&] { Store::open(options({"a", "b", "c"}), scratch); });
  EXPECT_EQ(tree(directory_.path()), before);
}

TEST_F(ReopenTest, AFolderWithoutARunIsRefused) {
  fs::create_directory(directory_ / "empty");
  EXPECT_NE(refusal(options({"empty"}, "empty")).find("there is no manifest.json"), std::string::npos);
  EXPECT_NE(refusal(options({"a", "b", "c"}, "nowhere")).find(directory_ / "nowhere"), std::string::npos);
}

TEST_F(ReopenTest, ALostRunFolderIsRestoredFromTheSsdPaths) {
  fs::remove_all(directory_ / "run");
  fs::create_directory(directory_ / "run");
  Store::open(options({"a", "b", "c"}), no_scratch())->commit(Commit{});
  EXPECT_EQ(read_manifest(directory_ / "run")->generation, 2U);
}

TEST_F(ReopenTest, ScratchOfAKilledRunIsLeftToInspectorsAndReplacedByTrainers) {
  std::ofstream(directory_ / "a/gsnake-gradients.bin") << "stale";
  { Store::open(options({"a", "b", "c"}), no_scratch()); }
  EXPECT_TRUE(fs::exists(directory_ / "a/gsnake-gradients.bin"));
  Layout scratch;
  scratch.kinds[4] = kind_of(1, {kExtentAlignment});
  { Store::open(options({"a", "b", "c"}), scratch); }
  EXPECT_FALSE(fs::exists(directory_ / "a/gsnake-gradients.bin"));
}

TEST_F(ReopenTest, AnOpenRunIsRefusedToOthersWithItsId) {
  const std::string run_id = read_manifest(directory_ / "run")->run_id;
  const ChildProcess child([&](const ChildProcess::Tell& tell) {
    const auto store = Store::open(options({"a", "b", "c"}), no_scratch());
    tell("open");
  });
  ASSERT_EQ(child.said(), "open");
  const std::string message = refusal(options({"a", "b", "c"}));
  EXPECT_NE(message.find("process " + std::to_string(child.pid()) + " (run " + run_id + ")"), std::string::npos) << message;
}

}  // namespace
}  // namespace gsnake::store
