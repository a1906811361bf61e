// What a config may ask for and this build cannot do yet.
#pragma once

#include "greedysnake/config.h"

namespace gsnake::config {

// Throws Error(usage), naming the key and what to set instead, for the first thing that this build cannot do. The list lives in this
// function's file alone: a feature that is built is taken off it there.
void refuse_unsupported(const Config& config);

}  // namespace gsnake::config
