// Whose files are whose: what a run may replace and remove, and what it must leave alone.
#include "store/folder/claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "child_process.h"
#include "store/manifest/checksum_table.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr const char* kTheirs = "somebody's work of a year";

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ClaimTest : public ::testing::Test {
 protected:
  StoreOptions options(bool overwrite = false) const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 1.0});
    options.engine = io::EngineChoice::threads;
    options.overwrite = overwrite;
    options.names_in_run_dir = {"carried"};
    return options;
  }
  void put(const std::string& name) const {
    fs::create_directories(fs::path(directory_ / name).parent_path());
    std::ofstream(directory_ / name) << kTheirs;
  }
  void expect_refusal(const std::function<void()>& work, const std::string& name) const {
    const std::set<std::string> before = tree(directory_.path());
    const std::string message = message_of(ErrorKind::storage, work);
    EXPECT_NE(message.find(directory_ / name), std::string::npos) << message;
    EXPECT_EQ(tree(directory_.path()), before) << name;
  }
  // A run with commits of two steps, as earlier versions left it: no claim, no prefix, and no word of either.
  void make_run_of_an_earlier_version() const {
    {
      const auto store = Store::create(options(), sample_layout());
      commit_step(*store, 1);
      commit_step(*store, 2);
    }
    for (const char* folder : {"run", "a", "b"}) {
      fs::remove(fs::path(directory_ / folder) / kClaimName);
      for (const char* name : {kManifestName, kPreviousName}) {
        std::optional<Manifest> manifest = read_manifest(directory_ / folder, name);
        manifest->storage.erase(kNamesKey);
        stage_manifest(io::kernel_sync(), directory_ / folder, name, *manifest);
        publish_manifest(io::kernel_sync(), directory_ / folder, name);
      }
      for (const auto& entry : std::vector<fs::directory_entry>(fs::directory_iterator(directory_ / folder), {})) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("gsnake-")) fs::rename(entry.path(), fs::path(directory_ / folder) / name.substr(7));
      }
    }
  }

  struct Folder : TemporaryDirectory {
    std::string operator/(const fs::path& name) const { return (fs::path(path()) / name).string(); }
  } directory_;
};

TEST_F(ClaimTest, WhatHasOurNamesAndIsNotOursIsRefusedByNameAndKept) {
  for (const bool overwrite : {false, true}) {
    for (const char* name : {"a/gsnake-weights.bin", "b/gsnake-activations.bin", "a/gsnake-pin", "a/gsnake-lock", "run/gsnake-lock", "b/gsnake-run",
                             "run/manifest.json", "a/manifest.json.tmp", "b/manifest.previous.json", "run/snapshot-3.json", "a/checksums-a.bin",
                             "run/checksums-snapshot-7.bin", "run/carried"}) {
      put(name);
      expect_refusal([&] { Store::create(options(overwrite), sample_layout()); }, name);
      EXPECT_EQ(text_of(directory_ / name), kTheirs) << name;
      fs::remove(directory_ / name);
    }
  }
}

TEST_F(ClaimTest, FilesUnderNamesThatOthersGiveLiveBesideARun) {
  const std::vector<std::string> names{"a/weights.bin", "a/moment1.bin", "b/activations.bin", "a/lock", "run/lock", "a/pin", "run/snapshot-a.json"};
  for (const std::string& name : names) put(name);
  { Store::create(options(), sample_layout()); }
  {
    const auto store = Store::create(options(), sample_layout());
    commit_step(*store, 1);
  }
  { commit_step(*Store::open(options(), sample_layout()), 2); }
  { commit_step(*Store::create(options(true), sample_layout()), 1); }
  for (const std::string& name : names) EXPECT_EQ(text_of(directory_ / name), kTheirs) << name;
}

TEST_F(ClaimTest, ALinkOrAFolderUnderOurNamesIsRefusedEvenInOurFolder) {
  { commit_step(*Store::create(options(), sample_layout()), 1); }
  put("theirs");
  for (const char* name : {"a/gsnake-gradients.bin", "a/manifest.json.tmp", "b/checksums-b.bin", "run/snapshot-0.json"}) {
    fs::remove(directory_ / name);
    fs::create_symlink(directory_ / "theirs", directory_ / name);
    expect_refusal([&] { Store::open(options(), sample_layout()); }, name);
    expect_refusal([&] { Store::create(options(true), sample_layout()); }, name);
    fs::remove(directory_ / name);
  }
  fs::create_directory(directory_ / "a/gsnake-gradients.bin");
  expect_refusal([&] { Store::open(options(), sample_layout()); }, "a/gsnake-gradients.bin");
  EXPECT_EQ(text_of(directory_ / "theirs"), kTheirs);
}

TEST_F(ClaimTest, ALockThatIsALinkIsNotFollowed) {
  put("theirs");
  fs::create_directories(directory_ / "a");
  fs::create_symlink(directory_ / "theirs", directory_ / "a/gsnake-lock");
  expect_refusal([&] { Store::create(options(), sample_layout()); }, "a/gsnake-lock");
  EXPECT_EQ(text_of(directory_ / "theirs"), kTheirs);
}

TEST_F(ClaimTest, FilesOfARunThatRetractedItsCommitAndDiedAreReplaced) {
  ChildProcess child([&](const ChildProcess::Tell& tell) {
    Layout layout = sample_layout();
    for (KindLayout& kind : layout.kinds) kind.slots = 1;
    const auto store = Store::create(options(), layout);
    commit_step(*store, 1);
    store->retract_manifest();
    tell("retracted");
  });
  ASSERT_EQ(child.said(), "retracted");
  child.kill();
  const auto store = Store::create(options(), sample_layout());
  write_everything(*store);
  expect_state(*store);
}

TEST_F(ClaimTest, ATornClaimIsAnEmptyFoldersAndIsMadeWhole) {
  for (const char* text : {"", "greedysnake-r"}) {
    fs::create_directories(directory_ / "a");
    std::ofstream(directory_ / "a/gsnake-run") << text;
    { commit_step(*Store::create(options(true), sample_layout()), 1); }
    EXPECT_TRUE(text_of(directory_ / "a/gsnake-run").starts_with("greedysnake-run\n"));
  }
}

TEST_F(ClaimTest, ARunOfAnEarlierVersionGoesOnUnderItsNames) {
  make_run_of_an_earlier_version();
  ASSERT_TRUE(fs::exists(directory_ / "a/weights.bin"));
  put("a/gradients.bin");  // as a kill leaves it
  {
    const auto store = Store::open(options(), sample_layout());
    EXPECT_EQ(committed_step(*store), 2U);
    store->verify({});
    commit_step(*store, 3);
  }
  EXPECT_EQ(committed_step(*Store::open_reader(options())), 3U);
  for (const std::string& name : tree(directory_.path())) EXPECT_EQ(name.find("gsnake-"), std::string::npos) << name;
  EXPECT_FALSE(fs::exists(directory_ / "a/gradients.bin"));
}

// A run directory that is no SSD path never had state in it, nor had any folder state of a kind that the run does not have.
TEST_F(ClaimTest, OverwritingARunOfAnEarlierVersionSparesWhatThatRunDidNotMake) {
  make_run_of_an_earlier_version();
  for (const char* mine : {"run/weights.bin", "run/pin", "a/master.bin", "a/base.bin"}) std::ofstream(directory_ / mine) << "mine";
  { commit_step(*Store::create(options(true), sample_layout()), 1); }
  for (const char* mine : {"run/weights.bin", "run/pin", "a/master.bin", "a/base.bin"}) EXPECT_EQ(fs::file_size(directory_ / mine), 4U) << mine;
  EXPECT_FALSE(fs::exists(directory_ / "a/weights.bin"));
}

TEST_F(ClaimTest, ARunOfAnEarlierVersionIsOverwritten) {
  make_run_of_an_earlier_version();
  { commit_step(*Store::create(options(true), sample_layout()), 1); }
  EXPECT_FALSE(fs::exists(directory_ / "a/weights.bin"));
  EXPECT_FALSE(fs::exists(directory_ / "a/pin"));
  EXPECT_EQ(committed_step(*Store::open(options(), no_scratch())), 1U);
  EXPECT_TRUE(read_claim(directory_ / "a")->also.empty());
}

TEST_F(ClaimTest, AnEarlierRunThatWasBeingDiscardedIsDiscardedByTheNext) {
  make_run_of_an_earlier_version();
  for (const char* folder : {"run", "a", "b"}) {
    write_claim(io::kernel_sync(), directory_ / folder, {earlier_files_in(directory_ / folder)});
    remove_manifests(io::kernel_sync(), directory_ / folder);
  }
  { commit_step(*Store::create(options(), sample_layout()), 1); }
  EXPECT_FALSE(fs::exists(directory_ / "a/weights.bin"));
}

TEST_F(ClaimTest, AFolderThatAnEarlierVersionHoldsIsInUse) {
  fs::create_directories(directory_ / "a");
  std::ofstream(directory_ / "a/lock") << "4711 0123456789abcdef\n";
  const int held = ::open((directory_ / "a/lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const std::string message = message_of(ErrorKind::storage, [&] { Store::create(options(), sample_layout()); });
  EXPECT_NE(message.find("a is in use by process 4711 (run 0123456789abcdef)"), std::string::npos) << message;
  ::close(held);
  { Store::create(options(), sample_layout()); }
  EXPECT_FALSE(fs::exists(directory_ / "a/lock")) << "a lock that a dead process left";
}

}  // namespace
}  // namespace gsnake::store
