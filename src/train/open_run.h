// What a training process finds when it begins: the run that is there, or a new one.
#pragma once

#include <memory>

#include "checkpoint/durable_run.h"
#include "greedysnake/trainer.h"
#include "train/session.h"

namespace gsnake::train {

// Gives `session` its store, which is checked where it was there before and written where it is new. Where a run resumes, sets the session's
// numerics to where the commit has them. What is returned borrows the session. Throws Error(usage) for what the options or a changed config
// forbid, Error(storage); then a new run leaves nothing behind and an earlier one is as it was.
std::unique_ptr<checkpoint::DurableRun> open_run(Session& session, const TrainerOptions& options);

// Whether there is a commit to go on from. Which of several copies counts, and whether one is whole, is the store's to say. A run whose run.dir
// was lost lives on in its SSD paths: to go on with it must be asked for, as they may be another run's. Throws Error(usage) where the options ask for
// a commit and there is none.
bool resumes(const Config& config, const TrainerOptions& options);

}  // namespace gsnake::train
