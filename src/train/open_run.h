// What a training process finds when it begins: the run that is there, or a new one.
#pragma once

#include <memory>

#include "checkpoint/durable_run.h"
#include "greedysnake/trainer.h"
#include "train/session.h"

namespace gsnake::train {

// Gives `session` its store, which is checked where it was there before, written where it is new, and made of the shares of other ranks where the run had another
// number of them. Where a run resumes, sets the session's numerics to where the commit has them. Every rank of the session's group calls it. What is returned borrows
// the session. Throws Error(usage) for what the options or a changed config forbid, Error(storage); then a new run leaves nothing behind and an earlier one is as it
// was.
std::unique_ptr<checkpoint::DurableRun> open_run(Session& session, const TrainerOptions& options);

}  // namespace gsnake::train
