// Profiles of measured machines, in the user's cache: measuring takes half a minute.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "sim/profile.h"

namespace gsnake::measure {

// $XDG_CACHE_HOME/gsnake/machines/KEY.toml, or ~/.cache/... Throws Error(storage) where neither is set.
std::filesystem::path profile_path(const std::string& key);

// What was kept under this key. One that can't be used is passed over, with a line in the debug log.
std::optional<sim::MachineProfile> find_profile(const std::string& key);

// Under profile.key. Throws Error(storage).
void keep_profile(const sim::MachineProfile& profile);

}  // namespace gsnake::measure
