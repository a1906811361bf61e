// What this machine, as this process sees it, has and lacks for training.
#pragma once

#include <string>
#include <vector>

#include "doctor/finding.h"

namespace gsnake::doctor {

// Looks by trying wherever that leaves nothing behind: sets up a ring, transfers a block of a nameless file. `folders` are those that state would
// lie in; they need not exist. Takes about a second, more where there are GPUs, in each of which it makes a context to ask what is free. Throws nothing
// but std::bad_alloc: what can't be found out is a finding.
Findings examine(const std::vector<std::string>& folders);

}  // namespace gsnake::doctor
