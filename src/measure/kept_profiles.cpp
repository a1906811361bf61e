#include "measure/kept_profiles.h"

#include <cstdlib>

#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"

namespace gsnake::measure {
namespace {

namespace fs = std::filesystem;

// A relative one is to be ignored, as the XDG Base Directory Specification has it.
fs::path absolute_of(const char* variable) {
  const char* value = std::getenv(variable);
  const fs::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : fs::path();
}

fs::path cache_folder() {
  if (const fs::path cache = absolute_of("XDG_CACHE_HOME"); !cache.empty()) return cache;
  const fs::path home = absolute_of("HOME");
  if (home.empty())
    core::throw_storage("find", "the folder for machine profiles", "neither XDG_CACHE_HOME nor HOME names a folder", "set one of them");
  return home / ".cache";
}

}  // namespace

fs::path profile_path(const std::string& key) { return cache_folder() / "gsnake" / "machines" / (key + ".toml"); }

std::optional<sim::MachineProfile> find_profile(const std::string& key) {
  try {
    const fs::path path = profile_path(key);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return std::nullopt;
    sim::MachineProfile profile = sim::load_profile(path.string());
    if (profile.key == key) return profile;
    spdlog::debug("{} is a profile of another machine; passed over", path.string());
  } catch (const Error& error) {
    spdlog::debug("no machine profile is used: {}", error.what());
  }
  return std::nullopt;
}

void keep_profile(const sim::MachineProfile& profile) {
  const fs::path path = profile_path(profile.key);
  io::make_directories(path.parent_path().string());
  sim::save_profile(profile, path.string());
}

}  // namespace gsnake::measure
