// Tasks as people read of them.
#pragma once

#include <string>

#include "schedule/graph.h"

namespace gsnake::schedule {

// "update chunk 3 (delayed)", "forward unit 3 micro-batch 0".
std::string name_of(const Task& task);

}  // namespace gsnake::schedule
