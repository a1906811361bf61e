// What the executor keeps of a step: what it started from, what came of it.
#pragma once

#include <atomic>
#include <cstdint>

#include "optim/step_policy.h"
#include "schedule/graph.h"

namespace gsnake::runtime {

using optim::Policy;
using optim::StepCounters;
using optim::Verdict;

// A step's entry in the executor's ring.
struct StepOutcome {
  StepCounters before;                     // where its update does not wait for its outcome, and of the first one
  bool commits = false;                // it is to be committed; false again once it turns out that it is not
  schedule::Outcome what;              // written by conclude where updates wait for it; revised: under a speculative guard alone
  Verdict verdict;                     // written by conclude
  int bad_gradient = -1;               // object whose gradient is not finite; the last of them, where backward met it first
  std::atomic<int> bad_weight{-1};     // object with a new master weight that its format can't store; for good
  std::atomic<int> early_bad_weight{-1};  // likewise, of an update that may yet be done over or undone
};

}  // namespace gsnake::runtime
