// What a run settled on before its first step, as it is told.
#pragma once

#include "greedysnake/results.h"
#include "train/session.h"

namespace gsnake::train {

// Of a session that was started.
RunReport report_of(const Session& session);

}  // namespace gsnake::train
