// What ranks have left in a run's folders, and which of it is the run.
#include "checkpoint/rank_folders.h"

#include <gmock/gmock.h>

#include <fstream>

#include "greedysnake/ranks.h"
#include "store/folder/share_folder.h"
#include "store/opening/replaced.h"
#include "store/shares_support.h"

namespace gsnake::checkpoint {
namespace {

using namespace store::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
using store::FoundCommit;

class RankFolders : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> paths() const { return {directory_ / "ssd0", directory_ / "ssd1"}; }
  [[nodiscard]] std::string run_dir() const { return directory_ / "run"; }
  [[nodiscard]] std::vector<RunFound> find() const { return find_runs(run_dir(), paths()); }
  // Commits of steps 1 to `step` by so many ranks.
  SharedRun made(std::size_t ranks, std::uint64_t step) const {
    SharedRun run(directory_.path(), ranks);
    run.create();
    for (std::uint64_t each = 1; each <= step; ++each) run.commit(each);
    run.end();
    return run;
  }
  TemporaryDirectory directory_{in_memory()};
};

TEST_F(RankFolders, AreWhereTheConfigSays) {
  const SharedRun run(directory_.path(), 3);
  EXPECT_EQ(folder_of_rank(run_dir(), 2, 3, 0), run.folders[2].run_dir);
  const auto share = store::share_of(folder_of_rank(run_dir(), 2, 3, 0));
  ASSERT_TRUE(share);
  EXPECT_EQ(share->base, run_dir());
  EXPECT_EQ(share->rank, 2);
  EXPECT_EQ(share->ranks, 3);
}

TEST_F(RankFolders, AFolderWithoutARunHasNone) {
  EXPECT_TRUE(find().empty());
  EXPECT_EQ(choose_run(find(), 1), nullptr);
  EXPECT_FALSE(holds_run(run_dir(), paths(), true));
  EXPECT_FALSE(any_training(run_dir(), paths()));
}

TEST_F(RankFolders, TellOfTheNewestStepOfAnyNumberOfRanks) {
  for (const std::size_t ranks : {1, 2, 4}) {
    const TemporaryDirectory elsewhere(in_memory());
    SharedRun run(elsewhere.path(), ranks);
    run.create();
    run.commit(1);
    run.commit(2);
    run.end();
    const std::vector<RunFound> found = find_runs(elsewhere / "run", {elsewhere / "ssd0", elsewhere / "ssd1"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].ranks, static_cast<int>(ranks));
    ASSERT_TRUE(found[0].last) << found[0].fault;
    EXPECT_EQ(found[0].last->step, 2);
    EXPECT_EQ(found[0].last->generations, std::vector<std::uint64_t>(ranks, 2));
    EXPECT_EQ(found[0].folders.size(), 3 * ranks);
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      EXPECT_EQ(found[0].shares[rank].folders.run_dir, run.folders[rank].run_dir);
      EXPECT_EQ(found[0].shares[rank].folders.ssd_paths, run.folders[rank].ssd_paths);
    }
    EXPECT_EQ(choose_run(found, 7), &found[0]);
    EXPECT_TRUE(holds_run(elsewhere / "run", {}, false));
    EXPECT_EQ(any_training(elsewhere / "run", {})->at("step"), 2);
  }
}

TEST_F(RankFolders, ThatDependOnTheRankAreFoundForEach) {
  SharedRun run(directory_.path(), 2);
  for (int rank = 0; rank < 2; ++rank) run.folders[static_cast<std::size_t>(rank)].ssd_paths = {folder_of_rank(directory_ / "nvme{local_rank}/ssd", rank, 2, rank)};
  run.create();
  run.commit(1);
  run.end();
  const std::vector<RunFound> found = find_runs(run_dir(), {directory_ / "nvme{local_rank}/ssd"});
  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].last) << found[0].fault;
  EXPECT_EQ(found[0].shares[1].folders.ssd_paths, run.folders[1].ssd_paths);
  EXPECT_THAT(run.folders[1].ssd_paths[0], HasSubstr("nvme1/ssd/rank-1/of-2"));
}

TEST_F(RankFolders, ThatMovedAreFoundWhereTheConfigSaysTheyAre) {
  made(2, 2);
  fs::rename(directory_ / "ssd1", directory_ / "elsewhere");
  const std::vector<RunFound> found = find_runs(run_dir(), {directory_ / "ssd0", directory_ / "elsewhere"});
  ASSERT_TRUE(found[0].last) << found[0].fault;
  EXPECT_EQ(found[0].shares[1].folders.ssd_paths[1], directory_ / "elsewhere/rank-1/of-2");
}

TEST_F(RankFolders, ThatAConfigNamesNoMoreAreFoundWhereTheyWere) {
  made(2, 2);
  const std::vector<RunFound> found = find_runs(run_dir(), {directory_ / "new"});
  ASSERT_TRUE(found[0].last) << found[0].fault;
  EXPECT_EQ(found[0].shares[0].folders.ssd_paths[1], directory_ / "ssd1/rank-0/of-2");
  EXPECT_EQ(found[0].folders.size(), 6U) << "and are removed with it";
}

TEST_F(RankFolders, OfARankThatAreMissingAreNamed) {
  const SharedRun run = made(3, 2);
  for (const std::string& folder : {run.folders[1].run_dir, run.folders[1].ssd_paths[0], run.folders[1].ssd_paths[1]}) fs::remove_all(folder);
  const std::string message = test::message_of(ErrorKind::storage, [&] { choose_run(find(), 3); });
  EXPECT_THAT(message, HasSubstr("run of 3 ranks: nothing of rank 1 is in " + run.folders[1].run_dir + " or " + run.folders[1].ssd_paths[0]));
  EXPECT_THAT(message, HasSubstr("share or copy the folders of all"));
  EXPECT_TRUE(holds_run(run_dir(), paths(), false));
  EXPECT_EQ(any_training(run_dir(), paths())->at("step"), 2) << "any rank's tells what the model is";
}

TEST_F(RankFolders, OfARankWhoseRunDirectoryIsLostAreFoundOnItsDrives) {
  const SharedRun run = made(2, 2);
  fs::remove_all(run.folders[1].run_dir);
  const std::vector<RunFound> found = find();
  ASSERT_TRUE(found[0].last) << found[0].fault;
  EXPECT_EQ(found[0].shares[1].folders.run_dir, run.folders[1].ssd_paths[0]);
  EXPECT_TRUE(folders_of_other_runs(found, 1).empty()) << "they may be another run's";
}

TEST_F(RankFolders, OfRanksThatWereMixedUpAreRefused) {
  const SharedRun run = made(2, 2);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string base = std::vector<std::string>{"run", "ssd0", "ssd1"}[i];
    fs::rename(directory_ / base + "/rank-0", directory_ / base + "/other");
    fs::rename(directory_ / base + "/rank-1", directory_ / base + "/rank-0");
    fs::rename(directory_ / base + "/other", directory_ / base + "/rank-1");
  }
  EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { choose_run(find(), 2); }), HasSubstr("holds what rank 1 of 2 left"));
}

TEST_F(RankFolders, OfAnotherRunOnOneOfThePathsAreNotThisOnes) {
  {
    auto other = store::Store::create(make_options(directory_ / "theirs", {directory_ / "ssd0"}), share_layout(0, 1));
    write_share(*other, 0, 9, 0, 1);
    other->commit({0, training_of(9, 0, 1), checksums_of_slot(*other, 0)});
  }
  EXPECT_EQ(choose_run(find(), 1), nullptr);
  for (const RunFound& run : find()) EXPECT_TRUE(run.folders.empty()) << run.folders[0];
  SharedRun theirs(directory_.path(), 2);
  for (store::ShareFolders& share : theirs.folders) share.run_dir = directory_ / "theirs" + share.run_dir.substr(run_dir().size());
  theirs.create();
  theirs.commit(5);
  theirs.end();
  EXPECT_EQ(choose_run(find(), 1), nullptr);
  for (const RunFound& run : find()) EXPECT_TRUE(run.folders.empty()) << run.folders[0];
}

TEST_F(RankFolders, OfARunThatThisIsACopyOfAreReadAndNotRemoved) {
  made(2, 2);
  fs::copy(run_dir(), directory_ / "copy", fs::copy_options::recursive);
  const std::vector<RunFound> found = find_runs(directory_ / "copy", paths());
  ASSERT_TRUE(found[0].last) << found[0].fault;
  EXPECT_THAT(found[0].folders, ElementsAre(directory_ / "copy/rank-0/of-2", directory_ / "copy/rank-1/of-2"));
  store::ReplacedRun(folders_of_other_runs(found, 1), {}).remove();
  EXPECT_TRUE(find_runs(directory_ / "copy", {}).empty());
  SharedRun(directory_.path(), 2).read()->verify({});
}

TEST_F(RankFolders, OfOtherNumbersAreRefusedOrRemovedForANewRun) {
  made(2, 2);
  made(3, 1);
  EXPECT_THAT(test::message_of(ErrorKind::usage, [&] { refuse_other_runs(find(), run_dir(), 3); }), HasSubstr("holds a run of 2 ranks"));
  EXPECT_THAT(test::message_of(ErrorKind::usage, [&] { refuse_other_runs(find(), run_dir(), 1); }), HasSubstr("holds a run of "));
  store::ReplacedRun(folders_of_other_runs(find(), 3), {}).remove();
  EXPECT_NO_THROW(refuse_other_runs(find(), run_dir(), 3));
  const std::vector<RunFound> found = find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].ranks, 3);
  EXPECT_FALSE(fs::exists(directory_ / "ssd0/rank-0/of-2"));
  SharedRun(directory_.path(), 3).read()->verify({});
}

TEST_F(RankFolders, StepsThatRanksPreparedAloneOrPublishedInPartAreTold) {
  SharedRun run(directory_.path(), 2);
  run.create();
  std::vector<store::PreparedCommit> first;
  first.push_back(prepare_share(*run.stores[0], 1, 0, 2));
  EXPECT_EQ(choose_run(find(), 2), nullptr);
  EXPECT_FALSE(holds_run(run_dir(), paths(), true)) << "rank 1 has none";
  first.push_back(prepare_share(*run.stores[1], 1, 1, 2));
  EXPECT_TRUE(holds_run(run_dir(), paths(), true));
  EXPECT_EQ(choose_run(find(), 2)->last->step, 1);
  EXPECT_FALSE(find()[0].counted);
  run.stores[1]->publish(first[1]);
  EXPECT_EQ(choose_run(find(), 2)->last->step, 1);
  EXPECT_TRUE(find()[0].counted);
}

// Made by hand: what find_runs() would give.
RunFound of(int ranks, std::int64_t reshardings, std::optional<std::int64_t> step, bool counted = true, std::int64_t newest = -1) {
  RunFound run;
  run.ranks = ranks;
  run.reshardings = reshardings;
  if (step) run.last = store::CommonCommit{*step, std::vector<std::uint64_t>(static_cast<std::size_t>(ranks), 1)};
  run.counted = counted;
  run.newest_step = step.value_or(newest);
  run.fault = step ? "" : "nothing of rank 1 is there";
  return run;
}

int chosen(const std::vector<RunFound>& found, int preferred = 1) {
  const RunFound* run = choose_run(found, preferred);
  return run == nullptr ? 0 : run->ranks;
}

TEST(ChooseRun, TakesTheLastNumberOfRanksWhateverItsStep) {
  EXPECT_EQ(chosen({of(1, 0, 100), of(2, 1, 100)}), 2);
  EXPECT_EQ(chosen({of(1, 2, 50), of(2, 1, 100)}), 1) << "it went back to a snapshot since";
  EXPECT_EQ(chosen({of(1, 0, 7), of(2, 0, 9), of(4, 0, 8)}), 2);
  EXPECT_EQ(chosen({of(1, 0, 7), of(2, 0, 7), of(4, 0, 7)}, 2), 2);
}

TEST(ChooseRun, ChangesThatWereCutShortDoNotCount) {
  EXPECT_EQ(chosen({of(1, 0, 100), of(2, 1, std::nullopt, false, 100)}, 2), 1) << "not every rank has prepared";
  EXPECT_EQ(chosen({of(1, 0, std::nullopt, true, 100), of(2, 1, 100)}), 2) << "the old one is removed in part";
  EXPECT_EQ(chosen({of(2, 0, std::nullopt, false)}), 0);
}

TEST(ChooseRun, WhatIsMissingOfTheNewestIsAnErrorRatherThanStepsThatAreLost) {
  const std::vector<std::vector<RunFound>> all{{of(1, 0, 100), of(4, 1, std::nullopt, true, 100)},
                                               {of(1, 0, 100), of(4, 0, std::nullopt, true, 200)},
                                               {of(4, 0, std::nullopt, true, 200)}};
  for (const std::vector<RunFound>& found : all) {
    EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { choose_run(found, 1); }), HasSubstr("the run of 4 ranks: nothing of rank 1 is there"));
  }
}

TEST_F(RankFolders, ReadersOpenWhatTheRunIsNow) {
  SharedRun one = made(1, 3);
  store::StoreOptions reading = one.options(0);
  expect_whole(*open_reader(reading), 3);
  SharedRun two(directory_.path(), 2);
  two.create();
  std::vector<store::PreparedCommit> first;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    write_share(*two.stores[rank], 0, 4, rank, 2);
    nlohmann::json training = training_of(4, rank, 2);
    training["reshardings"] = 1;
    first.push_back(two.stores[rank]->prepare({0, training, checksums_of_slot(*two.stores[rank], 0)}));
    EXPECT_EQ(committed_step(*open_reader(reading)), rank == 0 ? 3U : 4U);
  }
  two.end();
  const auto reader = open_reader(reading);
  expect_whole(*reader, 4);
  reader->verify({});
  EXPECT_EQ(reader->ssd_paths().size(), 4U);
  const RunPlace place = locate_run(run_dir());
  EXPECT_EQ(place.shares.size(), 2U);
  EXPECT_EQ(place.training().at("step"), 4);
}

TEST_F(RankFolders, ARunIsLocatedByAnyOfItsFolders) {
  made(2, 2);
  for (const char* name : {"run", "ssd0", "ssd1", "run/rank-1/of-2", "ssd1/rank-0/of-2"}) {
    const RunPlace place = locate_run(directory_ / name);
    EXPECT_EQ(place.run_dir, run_dir()) << name;
    EXPECT_THAT(place.ssd_paths, ElementsAre(directory_ / "ssd0", directory_ / "ssd1"));
    ASSERT_EQ(place.shares.size(), 2U);
    EXPECT_EQ(place.shares[1].run_dir, directory_ / "run/rank-1/of-2");
    EXPECT_EQ(place.shares[1].manifest.training.at("rank"), 1);
    EXPECT_EQ(place.shares[1].manifest.generation, 2U);
  }
}

TEST_F(RankFolders, AMovedRunIsLocatedWhereItIsNow) {
  made(2, 2);
  const TemporaryDirectory now(in_memory());
  for (const char* name : {"run", "ssd0", "ssd1"}) fs::rename(directory_ / name, now / name);
  const RunPlace place = locate_run(now / "run");
  EXPECT_EQ(place.run_dir, now / "run");
  EXPECT_THAT(place.ssd_paths, ElementsAre(now / "ssd0", now / "ssd1"));
  fs::rename(now / "ssd1", directory_ / "ssd1");
  store::StoreOptions reading = make_options(now / "run", {now / "ssd0", directory_ / "ssd1"});
  reading.engine = io::EngineChoice::threads;
  expect_whole(*open_reader(reading), 2);
  EXPECT_EQ(locate_run(now / "run", {directory_ / "ssd1", now / "ssd0"}).shares[1].ssd_paths[1], directory_ / "ssd1/rank-1/of-2");
}

TEST_F(RankFolders, AShareOutsideItsRunIsRefusedByName) {
  made(2, 2);
  fs::copy(directory_ / "run/rank-1/of-2", directory_ / "copy");
  EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { locate_run(directory_ / "copy"); }), HasSubstr("it is the share of one of 2 ranks"));
  test::message_of(ErrorKind::usage, [&] { locate_run(""); });
  EXPECT_THAT(test::message_of(ErrorKind::storage, [&] { locate_run(directory_ / "none"); }), HasSubstr("there is no such folder"));
}

}  // namespace
}  // namespace gsnake::checkpoint
