// The table behind keys().
#pragma once

#include <vector>

#include "config/keys.h"

namespace gsnake::config {

std::vector<Key> build_keys();

}  // namespace gsnake::config
