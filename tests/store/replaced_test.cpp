// A run that another has taken the place of: held, then removed with nothing else.
#include "store/opening/replaced.h"

#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <future>
#include <random>

#include "power_cut_disk.h"
#include "shares_support.h"
#include "store/folder/claim.h"
#include "store/folder/share_folder.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::vector<std::string> folders_of(const SharedRun& run) {
  std::vector<std::string> all;
  for (const ShareFolders& share : run.folders) {
    all.push_back(share.run_dir);
    all.insert(all.end(), share.ssd_paths.begin(), share.ssd_paths.end());
  }
  return all;
}

class ReplacedRunTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    run_.create();
    run_.commit(1);
    run_.commit(2);
    run_.end();
  }
  void put(const std::string& name) const {
    fs::create_directories(fs::path(directory_ / name).parent_path());
    std::ofstream(directory_ / name) << "somebody's";
  }
  TemporaryDirectory directory_{in_memory()};
  SharedRun run_{directory_.path(), GetParam()};
};

TEST_P(ReplacedRunTest, IsRemovedWithNothingElse) {
  put("run/metrics.jsonl");
  put("run/hf-carried/tokenizer.json");
  put("ssd0/weights.bin");
  put("ssd1/rank-0/notes");
  SharedRun other(directory_.path(), GetParam() + 1);
  other.create();
  other.commit(7);
  other.end();
  ReplacedRun(folders_of(run_), {}).remove();
  for (const std::string& folder : folders_of(run_)) {
    EXPECT_EQ(fs::exists(folder), GetParam() == 1) << folder;
    EXPECT_FALSE(holds_manifest(folder));
  }
  EXPECT_EQ(committed_step(*other.read()), 7U);
  other.read()->verify({});
  ReplacedRun(folders_of(other), {}).remove();
  EXPECT_EQ(tree(directory_.path()), (std::set<std::string>{"run", "run/metrics.jsonl", "run/hf-carried", "run/hf-carried/tokenizer.json", "ssd0", "ssd0/weights.bin", "ssd1",
                                                            "ssd1/rank-0", "ssd1/rank-0/notes"}));
}

TEST_P(ReplacedRunTest, KeepsTheClaimThatCoversWhatStays) {
  put("run/hf-carried/tokenizer.json");
  if (GetParam() > 1) write_claim(io::kernel_sync(), directory_ / "run", {});
  std::vector<std::string> folders = folders_of(run_);
  folders.push_back(directory_ / "run");
  ReplacedRun(folders, {.names_in_run_dir = {"hf-carried"}}).remove();
  EXPECT_TRUE(read_claim(directory_ / "run"));
  EXPECT_NO_THROW(refuse_others(directory_ / "run", std::vector<std::string>{"hf-carried"}));
}

TEST_P(ReplacedRunTest, NobodyTrainsItWhileItIsHeld) {
  {
    const ReplacedRun held(folders_of(run_), {});
    EXPECT_NE(message_of(ErrorKind::storage, [&] { Store::open(run_.options(0), no_scratch()); }).find("is in use by process"), std::string::npos);
    run_.read()->verify({});
  }
  EXPECT_EQ(committed_step(*Store::open(run_.options(0), no_scratch())), 2U) << "let go of, it is as it was";
}

TEST_P(ReplacedRunTest, OneThatIsTrainedIsRefusedAndStays) {
  const std::size_t last = GetParam() - 1;
  const auto trained = Store::open(run_.options(last), no_scratch());
  const std::set<std::string> before = tree(directory_.path());
  EXPECT_NE(message_of(ErrorKind::storage, [&] { ReplacedRun(folders_of(run_), {}); }).find("is in use by process"), std::string::npos);
  EXPECT_EQ(tree(directory_.path()), before);
}

TEST_P(ReplacedRunTest, WhatIsNotOursIsRefusedByNameAndKept) {
  const std::string theirs = run_.folders.back().ssd_paths[1] + "/gsnake-gradients.bin";
  fs::create_directory(theirs);
  EXPECT_NE(message_of(ErrorKind::storage, [&] { ReplacedRun(folders_of(run_), {}); }).find(theirs), std::string::npos);
  EXPECT_EQ(committed_step(*run_.read()), 2U);
}

TEST_P(ReplacedRunTest, RemovalWaitsForWhoReadsIt) {
  auto reader = run_.read();
  std::atomic<int> told{0};
  auto removed = std::async(std::launch::async, [&] {
    ReplacedRun held(folders_of(run_), {.progress = [&](const std::string&, std::uint64_t, std::uint64_t) { ++told; }});
    held.remove();
  });
  while (told == 0) ASSERT_EQ(removed.wait_for(milliseconds(5)), std::future_status::timeout);
  reader->verify({});
  expect_whole(*reader, 2);
  reader.reset();
  removed.get();
  EXPECT_FALSE(holds_manifest(run_.folders[0].run_dir));
}

// Ended before any call, by a kill and then a power cut: what is left is the run as it was, or told to be ours to remove.
TEST_P(ReplacedRunTest, RemovalThatIsCutShortIsTakenUpAgain) {
  std::mt19937_64 random(11);
  const TemporaryDirectory kept(in_memory());
  fs::copy(directory_.path(), kept.path(), fs::copy_options::recursive);
  bool done = false;
  std::size_t calls = 0;
  for (; !done && !HasFailure(); calls += static_cast<std::size_t>(call_stride())) {
    fs::remove_all(directory_.path());
    fs::copy(kept.path(), directory_.path(), fs::copy_options::recursive);
    PowerCutDisk disk;
    for (const std::string& folder : folders_of(run_)) disk.add_directory(folder);
    disk.die_at(calls);
    try {
      ReplacedRun(folders_of(run_), {.sync = &disk}).remove();
      done = true;
    } catch (const Error&) {
    }
    if (!done) disk.cut_power(random);
    disk.die_at(PowerCutDisk::kNever);
    for (const std::string& folder : folders_of(run_)) {
      if (done) continue;
      EXPECT_NO_THROW(refuse_others(folder, {})) << "after " << calls << " calls";
    }
    ReplacedRun(folders_of(run_), {}).remove();
    for (const std::string& folder : folders_of(run_)) {
      EXPECT_TRUE(GetParam() == 1 ? fs::is_empty(folder) : !fs::exists(folder)) << folder << " after " << calls << " calls";
    }
  }
  EXPECT_GT(calls, 20U);
}

INSTANTIATE_TEST_SUITE_P(Ranks, ReplacedRunTest, ::testing::Values(1, 2, 3));

TEST(ShareFolder, IsKnownByItsName) {
  const auto share = share_of("/a/run/rank-2/of-4");
  ASSERT_TRUE(share);
  EXPECT_EQ(share->base, "/a/run");
  EXPECT_EQ(share->rank, 2);
  EXPECT_EQ(share->ranks, 4);
  for (const char* other : {"/a/run", "/a/rank-2/of-2", "/a/rank-0/of-1", "/a/rank-02/of-4", "/a/rank-/of-4", "/a/rank-1/of-4x", "/a/rank--1/of-4", "of-2", ""}) {
    EXPECT_FALSE(share_of(other)) << other;
  }
}

TEST(ShareFolder, ThoseOfAFolderComeInOrder) {
  const TemporaryDirectory directory(in_memory());
  for (const char* name : {"rank-10/of-11", "rank-2/of-11", "rank-0/of-2", "rank-2/of-x", "rank-1", "ranks/of-2"}) fs::create_directories(directory / name);
  std::ofstream(directory / "rank-3") << "a file";
  std::vector<std::string> names;
  for (const ShareFolder& share : share_folders_in(directory.path())) names.push_back(fs::relative(share.path, directory.path()).string());
  EXPECT_EQ(names, (std::vector<std::string>{"rank-0/of-2", "rank-2/of-11", "rank-10/of-11"}));
  EXPECT_TRUE(share_folders_in(directory / "absent").empty());
}

}  // namespace
}  // namespace gsnake::store
