// What an SSD path holds, by object: for the message that it is missing.
#pragma once

#include <cstddef>
#include <string>

#include "store/state.h"

namespace gsnake::store {

// Of the state in `slot`: "a share of every object (weights 0-13, moment1 0-13, moment2 0-13)".
std::string objects_on(const StoreState& state, std::size_t path, int slot);

}  // namespace gsnake::store
