// What a training process finds when it begins: the run that is there, or a new one.
#pragma once

#include <memory>

#include "greedysnake/trainer.h"
#include "checkpoint/run_state.h"
#include "train/session.h"
#include "checkpoint/step_committer.h"

namespace gsnake::train {

struct OpenRun {
  checkpoint::RunState state;        // of the last commit; a new run's has step 0
  bool resumed = false;  // there was a commit
  std::unique_ptr<checkpoint::StepCommitter> committer;
};

// Gives `session` its store, which is checked where it was there before and written where it is new. Where a run resumes, sets the session's
// numerics to where the commit has them. Throws Error(usage) for what the options or a changed config forbid, Error(storage); then a new run
// leaves nothing behind and an earlier one is as it was.
OpenRun open_run(Session& session, const TrainerOptions& options);

}  // namespace gsnake::train
