// Training by the executor and in memory, side by side: every result and every stored byte must agree.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "runtime/rig.h"

namespace gsnake::runtime::test {

using Tally = std::map<std::string, int>;  // how many steps were plain, clipped, skipped

// That a sweep of so many setups met each kind; the few that a sanitizer goes through meet some.
inline void expect_each_kind(Tally& tally, int setups) {
  if (seeds(setups) < static_cast<std::uint64_t>(setups)) return;
  for (const char* kind : {"plain", "clipped", "skipped"}) EXPECT_GT(tally[kind], 0) << kind;
}

// Runs a rig and the reference side by side, with up to two graphs in flight.
class Journey {
 public:
  Journey(Rig& rig, const schedule::Problem& problem, std::uint64_t seed) : rig_(rig), reference_(rig.reference()), random_(seed), problem_(problem), seed_(seed) {}

  void run(int graphs) {
    rig_.load();
    rig_.committer().decline_some(may_decline());
    for (int i = 0; i < graphs && !::testing::Test::HasFailure(); ++i) {
      const std::uint64_t draw = random_.below(10);
      if (draw == 0) {
        finish();
      } else {
        in_flight_.push_back(draw <= 2 ? &rig_.validate() : &train());
      }
      while (in_flight_.size() > (random_.below(4) == 0 ? 0 : 1)) settle();
    }
    finish();
  }

  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  Started& train() {
    const bool commits = random_.below(3) != 0 || problem_.guard == schedule::Guard::speculative;
    Started& step = rig_.train(commits);
    if (commits) asked_.insert(step.batch.step);
    return step;
  }

  void finish() {
    // The last steps' results may be awaited before or after: norms of the graph before are not overwritten by finish.
    while (!in_flight_.empty()) settle();
    rig_.committer().decline_some(false);
    rig_.finish();
    rig_.committer().decline_some(may_decline());
    if (problem_.commits && steps_ > 0 && (after_.size() > finished_)) asked_.insert(steps_);  // finish() commits what was not asked for
    finished_ = after_.size();
    if (rig_.committer().declined().count(steps_) == 0) expect_equal(rig_.stored(), own(reference_.objects()));
    check_commits();
  }

  // A speculative update needs the step before it committed.
  [[nodiscard]] bool may_decline() const { return problem_.guard != schedule::Guard::speculative && seed_ % 2 == 0; }

  // Every step that was to be committed was, but for those that were declined, in order and in alternate slots, and what stood on SSD then was that step's state.
  void check_commits() {
    if (!problem_.commits) return;
    for (const std::int64_t step : rig_.committer().declined()) asked_.erase(step);
    for (const ReadingCommitter::Commit& commit : rig_.committer().take()) {
      SCOPED_TRACE("commit of step " + std::to_string(commit.step));
      ASSERT_EQ(asked_.count(commit.step), 1U);
      asked_.erase(commit.step);
      const std::vector<ToyObject> expected = own(after_.at(commit.step));
      const bool changed = applied_.lower_bound(committed_ + 1) != applied_.upper_bound(commit.step);
      EXPECT_EQ(commit.slot, changed ? 1 - slot_ : slot_);
      EXPECT_EQ(commit.counters.updates, std::distance(applied_.begin(), applied_.upper_bound(commit.step)));
      slot_ = commit.slot;
      committed_ = commit.step;
      expect_equal(commit.objects, expected);
    }
    EXPECT_TRUE(asked_.empty()) << "step " << *asked_.begin() << " was not committed";
  }

  // What this rank stores.
  [[nodiscard]] std::vector<ToyObject> own(const std::vector<ToyObject>& objects) const { return with_own_parts(problem_, rig_.initial(), objects); }

  static void expect_equal(const std::vector<ToyObject>& stored, const std::vector<ToyObject>& objects) {
    for (std::size_t object = 0; object < stored.size(); ++object) {
      EXPECT_TRUE(stored[object].weights == objects[object].weights) << "weights of object " << object;
      for (std::size_t k = 0; k < stored[object].states.size(); ++k) {
        EXPECT_TRUE(stored[object].states[k] == objects[object].states[k]) << "state " << k << " of object " << object;
      }
    }
  }

  void settle() {
    const Started& oldest = *in_flight_.front();
    in_flight_.pop_front();
    rig_.executor().wait_results(oldest.ticket);
    StepBatch expected = oldest.batch;
    expected.inputs = oldest.inputs;
    expected.labels = oldest.labels;
    std::fill(expected.losses.begin(), expected.losses.end(), -1.0);
    if (oldest.batch.training) {
      const ToyReference::Step step = reference_.train(expected);
      if (!step.skipped) applied_.insert(oldest.batch.step);
      if (problem_.commits) after_[steps_ = oldest.batch.step] = reference_.objects();
      const StepOutcome& outcome = rig_.executor().outcome(oldest.ticket);
      EXPECT_EQ(rig_.executor().bad_weight(), -1);
      EXPECT_EQ(outcome.verdict.finite, !step.skipped) << "step " << oldest.batch.step;
      if (!step.skipped) {
        EXPECT_EQ(outcome.verdict.gradient_norm, step.gradient_norm) << "step " << oldest.batch.step;
      }
      EXPECT_EQ(outcome.verdict.loss_scale, step.loss_scale);
      ++tally_[step.skipped ? "skipped" : step.factor < 1.0 ? "clipped" : "plain"];
    } else {
      reference_.validate(expected);
    }
    EXPECT_EQ(oldest.batch.losses, expected.losses) << "step " << oldest.batch.step;
  }

  Rig& rig_;
  Tally tally_;
  ToyReference reference_;
  Random random_;
  std::deque<const Started*> in_flight_;
  const schedule::Problem& problem_;
  const std::uint64_t seed_;
  std::set<std::int64_t> asked_;                           // steps that are to be committed
  std::map<std::int64_t, std::vector<ToyObject>> after_;  // the reference's state after each step
  std::int64_t steps_ = 0;
  std::size_t finished_ = 0;  // steps before the last finish
  std::set<std::int64_t> applied_;  // steps that were not skipped
  std::int64_t committed_ = 0;      // step
  int slot_ = 0;
};

}  // namespace gsnake::runtime::test
