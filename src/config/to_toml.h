// A config as a file that says the same.
#pragma once

#include <string>

#include "greedysnake/config.h"

namespace gsnake::config {

// The whole of it, defaults included; paths as they are in the config, which after loading are absolute.
std::string to_toml(const Config& config);

}  // namespace gsnake::config
