// Going on with a run: what is read of it, what it goes on from, and what becomes of the commit that was there.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <thread>

#include "checkpoint/start_state.h"
#include "runtime/store_layout.h"
#include "runtime/toy_store.h"
#include "toy_run.h"
#include "watched_engine.h"

namespace gsnake::checkpoint::test {
namespace {

namespace fs = std::filesystem;
using store::FoundCommit;

// Of one slot.
std::uint64_t state_bytes(const ToyRun& run) {
  std::uint64_t sum = 0;
  const store::Layout layout = runtime::store_layout(run.problem, 1);
  for (const store::Kind kind : {store::Kind::weights, store::Kind::moment1, store::Kind::moment2}) {
    for (const std::uint64_t bytes : layout.kinds[static_cast<std::size_t>(kind)].padded_bytes) sum += bytes;
  }
  return sum;
}

class ResumeTest : public ::testing::Test {
 protected:
  // Steps 1 to 5, each committed; a snapshot of 3.
  void train() {
    ToyTrainer trainer(run_);
    for (int i = 0; i < 5; ++i) trainer.step();
    trainer.commit();
  }

  // The step that a resume goes on from; what it reads is counted.
  std::int64_t resumed_step(std::optional<std::int64_t> from_step = {}) {
    store::StoreOptions storage = run_.storage();
    storage.wrap_engine = watching(seen_);
    storage.from_step = from_step;
    return resume({run_.config, storage, {}, run_.problem.elements(), {}, {}, nullptr, true, 1, "fp32", {}}).state.step;
  }

  ToyRun run_;
  WatchedEngine::Seen seen_;
};

TEST_F(ResumeTest, ReadsTheStateOnce) {
  train();
  EXPECT_EQ(resumed_step(), 5);
  EXPECT_EQ(seen_.read_bytes, state_bytes(run_));
}

TEST_F(ResumeTest, NeitherReadsNorCommitsABase) {
  run_.add_base();
  run_.problem.weights = {0.0, 0.5};
  train();
  const std::uint64_t base = std::filesystem::file_size(run_.base->file().path);
  EXPECT_EQ(resumed_step(), 5);
  EXPECT_EQ(seen_.read_bytes, state_bytes(run_));
  EXPECT_EQ(run_.expect_whole_commit(), 5);
  run_.problem.weights = {0.5, 0.0};  // pieces of other sizes
  run_.problem.chunk_elements = 2 * schedule::kGrain;
  {
    const schedule::Map map = schedule::make_map(run_.problem, {});
    const auto store = store::Store::open_reader(run_.storage());
    for (const KnownChecksum& known : find_checksums(*store, map, nullptr, StartState::checked, {})) {
      EXPECT_TRUE(core::is_state(map.extents[static_cast<std::size_t>(known.extent)]));
    }
  }
  for (const bool back : {false, true}) {
    Hooks hooks;
    hooks.wrap_engine = watching(seen_);
    if (back) hooks.from_step = 3;
    ToyTrainer trainer(run_, hooks);
    for (int i = 0; i < 2; ++i) trainer.step();
    trainer.commit();
  }
  EXPECT_EQ(run_.expect_whole_commit(), 5) << "3 and two more";
  EXPECT_EQ(std::filesystem::file_size(run_.base->file().path), base);
}

TEST_F(ResumeTest, ReadsTheStateOnceAfterATornCommit) {
  train();
  fs::resize_file(run_.config.run.dir + "/manifest.json", 100);
  EXPECT_EQ(resumed_step(), 4);
  EXPECT_EQ(seen_.read_bytes, state_bytes(run_));
}

TEST_F(ResumeTest, ReadsTheStateOnceWhereItGoesBackToASnapshotOrTheLastStep) {
  train();
  EXPECT_EQ(resumed_step(5), 5);
  EXPECT_EQ(seen_.read_bytes, state_bytes(run_));
  EXPECT_EQ(resumed_step(3), 3);
  EXPECT_EQ(seen_.read_bytes, 2 * state_bytes(run_));
  EXPECT_EQ(run_.expect_whole_commit(), 3);
}

TEST_F(ResumeTest, ThatIsRefusedLeavesTheRunWhereItWas) {
  train();
  const auto refused = [&](std::optional<std::int64_t> from_step, bool commits, int threads) {
    store::StoreOptions storage = run_.storage();
    storage.from_step = from_step;
    const std::vector<std::uint64_t> elements = run_.problem.elements();
    EXPECT_THROW(resume({run_.config, storage, {}, elements, {}, {}, nullptr, commits, threads, "fp32", {}}), Error);
  };
  refused(3, true, 2);
  refused(4, true, 1);
  run_.config.train.seed += 1;
  refused(3, true, 1);
  run_.config.train.seed -= 1;
  EXPECT_EQ(run_.expect_whole_commit(), 5);
  EXPECT_EQ(resumed_step(3), 3);
}

TEST_F(ResumeTest, GoesOnToTheSameBits) {
  for (int resumes = 0; resumes < 4; ++resumes) {
    ToyTrainer trainer(run_);
    EXPECT_EQ(trainer.durable().started(), resumes * 2);
    EXPECT_EQ(trainer.durable().data_position().cursor, static_cast<std::uint64_t>(resumes) * 20);
    trainer.step();
    trainer.step();
    trainer.commit();
  }
  EXPECT_EQ(run_.expect_whole_commit(), 8);
}

// Else a kill in between would leave a commit of which a part is overwritten.
TEST_F(ResumeTest, OfARunWithOneSlotTheCommitIsGivenUpBeforeItIsOverwrittenAndNotEarlier) {
  run_.config.run.durability = Durability::off;
  run_.config.run.snapshot_every = 0;
  run_.problem.commits = false;
  {
    ToyTrainer trainer(run_);
    trainer.step();
    trainer.commit();
  }
  const std::string manifest = run_.config.run.dir + "/manifest.json";
  bool there = true;
  seen_.before_first_write = [&] { there = fs::exists(manifest); };
  Hooks hooks;
  hooks.wrap_engine = watching(seen_);
  {
    ToyTrainer trainer(run_, hooks);
    EXPECT_TRUE(fs::exists(manifest));
    trainer.step();
    EXPECT_EQ(trainer.durable().committed(), -1);
    trainer.step();
    trainer.commit();
    EXPECT_TRUE(seen_.written);
    EXPECT_FALSE(there);
    trainer.commit();  // again: nothing to do
    EXPECT_EQ(trainer.durable().committed(), 3);
  }
  EXPECT_EQ(run_.expect_whole_commit(), 3);
}

// Another rank did not get as far.
TEST_F(ResumeTest, AStepThatWasPreparedAndNotPublishedIsThereForWhoeverAsksForIt) {
  for (const bool takes : {true, false}) {
    ToyRun run(0.5);
    Hooks hooks;
    std::set<std::int64_t> agreed;
    hooks.agree = [&](std::int64_t step) {
      if (step == 3) throw std::runtime_error("another rank failed");
      agreed.insert(step);
    };
    try {
      ToyTrainer trainer(run, hooks);
      for (int i = 0; i < 6; ++i) trainer.step();
      ADD_FAILURE() << "the run went on without the other rank";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "another rank failed");
    }
    EXPECT_EQ(agreed, (std::set<std::int64_t>{1, 2}));
    const std::vector<FoundCommit> commits = store::Store::commits_of(run.storage());
    ASSERT_EQ(commits.size(), 2U);
    EXPECT_EQ(commits[0].standing, FoundCommit::Standing::prepared);
    EXPECT_EQ(commits[0].training.at("step"), 3);
    Hooks again;
    again.generation = commits[takes ? 0 : 1].generation;
    {
      ToyTrainer trainer(run, again);
      EXPECT_EQ(trainer.durable().started(), takes ? 3 : 2);
      trainer.step();
      trainer.commit();
    }
    EXPECT_EQ(run.expect_whole_commit(), takes ? 4 : 3);
  }
}

// Readers come and go while the run commits; each sees one step's state.
TEST_F(ResumeTest, ReadersBesideCommitsSeeWholeSteps) {
  { ToyTrainer(run_).commit(); }
  ToyTrainer trainer(run_);
  std::atomic<bool> over{false};
  std::int64_t seen = 0;
  std::thread reads([&] {
    for (int i = 0; i < 8 && !HasFailure(); ++i) {
      seen = run_.expect_whole_commit();
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    over = true;
  });
  while (!over) {
    trainer.step();
    if (trainer.durable().started() % 16 == 0) trainer.commit();
  }
  reads.join();
  EXPECT_GT(seen, 0);
  trainer.commit();
  EXPECT_EQ(trainer.durable().committed(), trainer.durable().started());
}

}  // namespace
}  // namespace gsnake::checkpoint::test
