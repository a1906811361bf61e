// What the simulator says of a session's steps.
#pragma once

#include "greedysnake/results.h"
#include "sim/profile.h"
#include "train/session.h"

namespace gsnake::train {

// The very graph that the session runs. Nothing where the profile lacks what it needs; the log says so.
Prediction prediction_of(const Session& session, const sim::MachineProfile& profile);

}  // namespace gsnake::train
