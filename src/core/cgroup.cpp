#include "core/cgroup.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <vector>

namespace gsnake::core {
namespace {

namespace fs = std::filesystem;

// Where a controller's files of this process are: its own group's folder, and the mount above which there are none.
struct Group {
  fs::path folder;
  fs::path mount;
};

bool holds_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

// This process's path in the hierarchy of `controller`; "" names the one of version 2.
std::string own_path(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : holds_word(controllers, controller)) return line.substr(second + 1);
  }
  return {};
}

// A container sees its own group as the mount's root, or the host's path to it, which is not there.
fs::path folder_of(const std::string& mount, const std::string& mount_root, const std::string& path) {
  std::string below = path;
  if (mount_root != "/") below = path.starts_with(mount_root) ? path.substr(mount_root.size()) : "";
  std::error_code ignored;
  fs::path folder = mount + below;
  return fs::is_directory(folder, ignored) ? folder : fs::path(mount);
}

std::optional<Group> group_of(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line);
    std::istringstream after(line.substr(dash + 3));
    std::string skipped, mount_root, mount, type, source, options;
    before >> skipped >> skipped >> skipped >> mount_root >> mount;
    after >> type >> source >> options;
    if (controller.empty() ? type != "cgroup2" : type != "cgroup" || !holds_word(options, controller)) continue;
    return Group{folder_of(root + mount, mount_root, own_path(root, controller)), root + mount};
  }
  return std::nullopt;
}

// Calls with each folder from the process's own group up to the mount.
void walk_up(const Group& group, const std::function<void(const fs::path&)>& look) {
  for (fs::path folder = group.folder;; folder = folder.parent_path()) {
    look(folder);
    if (folder == group.mount || !folder.has_relative_path()) return;
  }
}

std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;  // "max" is no number
}

std::uint64_t field_in(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

struct MemoryFiles {
  const char* limit;
  const char* used;
  const char* page_cache;  // in memory.stat, shared memory among it, which makes no room
  const char* shared;
};

void read_memory(const Group& group, const MemoryFiles& names, CgroupLimits& limits) {
  constexpr std::uint64_t kNone = std::uint64_t{1} << 60;  // version 1 writes a huge number
  walk_up(group, [&](const fs::path& folder) {
    const std::optional<std::uint64_t> limit = number_in(folder / names.limit);
    if (!limit || *limit >= kNone || (limits.memory_bytes && *limits.memory_bytes <= *limit)) return;
    const std::uint64_t cache = field_in(folder / "memory.stat", names.page_cache) - field_in(folder / "memory.stat", names.shared);
    const std::uint64_t used = number_in(folder / names.used).value_or(0);
    limits.memory_bytes = limit;
    limits.memory_used_bytes = used > cache ? used - cache : 0;
    limits.memory_file = (folder / names.limit).string();
  });
}

void take_processors(double processors, const fs::path& file, CgroupLimits& limits) {
  if (processors <= 0.0 || (limits.processors && *limits.processors <= processors)) return;
  limits.processors = processors;
  limits.processors_file = file.string();
}

void read_processors_v2(const fs::path& folder, CgroupLimits& limits) {
  std::ifstream file(folder / "cpu.max");
  double quota = 0.0;
  double period = 0.0;
  if (file >> quota >> period && period > 0.0) take_processors(quota / period, folder / "cpu.max", limits);
}

void read_processors_v1(const fs::path& folder, CgroupLimits& limits) {
  const fs::path quota_file = folder / "cpu.cfs_quota_us";
  std::ifstream file(quota_file);
  double quota = -1.0;  // no limit
  const std::uint64_t period = number_in(folder / "cpu.cfs_period_us").value_or(0);
  if (file >> quota && period > 0) take_processors(quota / static_cast<double>(period), quota_file, limits);
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  if (const auto group = group_of(root, "memory")) {
    read_memory(*group, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_shmem"}, limits);
  }
  if (const auto group = group_of(root, "cpu")) {
    walk_up(*group, [&](const fs::path& folder) { read_processors_v1(folder, limits); });
  }
  if (const auto group = group_of(root, "")) {
    read_memory(*group, {"memory.max", "memory.current", "file", "shmem"}, limits);
    walk_up(*group, [&](const fs::path& folder) { read_processors_v2(folder, limits); });
  }
  return limits;
}

}  // namespace gsnake::core
