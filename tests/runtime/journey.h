// Training by the executor and in memory, side by side: every result and every stored byte must agree.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "runtime/rig.h"

namespace gsnake::runtime::test {

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Runs a rig and the reference side by side, with up to two graphs in flight.
class Journey {
 public:
  Journey(Rig& rig, const schedule::Problem& problem, std::uint64_t seed) : rig_(rig), reference_(problem, rig.initial()), random_(seed), problem_(problem) {}

  void run(int graphs) {
    rig_.load();
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

 private:
  Started& train() {
    const bool commits = random_.below(3) != 0;
    Started& step = rig_.train(commits);
    if (commits) asked_.insert(step.batch.step);
    return step;
  }

  void finish() {
    // The last steps' results may be awaited before or after: norms of the graph before are not overwritten by finish.
    while (!in_flight_.empty()) settle();
    rig_.finish();
    if (problem_.commits && steps_ > 0 && (after_.size() > finished_)) asked_.insert(steps_);  // finish() commits what was not asked for
    finished_ = after_.size();
    expect_equal(rig_.stored(), reference_.objects());
    check_commits();
  }

  // Every step that was to be committed was, in order and in alternate slots, and what stood on SSD then was that step's state.
  void check_commits() {
    if (!problem_.commits) return;
    for (const ReadingCommitter::Commit& commit : rig_.committer().take()) {
      SCOPED_TRACE("commit of step " + std::to_string(commit.step));
      ASSERT_EQ(asked_.count(commit.step), 1U);
      asked_.erase(commit.step);
      EXPECT_EQ(commit.slot, 1 - slot_);
      slot_ = commit.slot;
      expect_equal(commit.objects, after_.at(commit.step));
    }
    EXPECT_TRUE(asked_.empty()) << "step " << *asked_.begin() << " was not committed";
  }

  static void expect_equal(const std::vector<ToyObject>& stored, const std::vector<ToyObject>& objects) {
    for (std::size_t object = 0; object < stored.size(); ++object) {
      const ToyObject& expected = objects[object];
      EXPECT_TRUE(same_bits(stored[object].weights, expected.weights)) << "weights of object " << object;
      EXPECT_TRUE(same_bits(stored[object].moment1, expected.moment1)) << "moment1 of object " << object;
      EXPECT_TRUE(same_bits(stored[object].moment2, expected.moment2)) << "moment2 of object " << object;
    }
  }

  void settle() {
    const Started& oldest = *in_flight_.front();
    in_flight_.pop_front();
    rig_.executor().wait_results(oldest.ticket);
    StepBatch expected = oldest.batch;
    std::fill(expected.losses.begin(), expected.losses.end(), -1.0);
    if (oldest.batch.training) {
      const double norm = reference_.train(expected, oldest.scalars);
      if (problem_.commits) after_[steps_ = oldest.batch.step] = reference_.objects();
      EXPECT_EQ(rig_.executor().gradient_norm(oldest.ticket), norm) << "step " << oldest.batch.step;
    } else {
      reference_.validate(expected);
    }
    EXPECT_EQ(oldest.batch.losses, expected.losses) << "step " << oldest.batch.step;
  }

  Rig& rig_;
  ToyReference reference_;
  Random random_;
  std::deque<const Started*> in_flight_;
  const schedule::Problem& problem_;
  std::set<std::int64_t> asked_;                           // steps that are to be committed
  std::map<std::int64_t, std::vector<ToyObject>> after_;  // the reference's state after each step
  std::int64_t steps_ = 0;
  std::size_t finished_ = 0;  // steps before the last finish
  int slot_ = 0;
};

}  // namespace gsnake::runtime::test
