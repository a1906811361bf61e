#include "core/free_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/cgroup.h"
#include "core/proc_file.h"

namespace gsnake::core {

std::uint64_t free_host_bytes(const std::string& root) {
  const std::uint64_t available = kilobytes_of(root + "/proc/meminfo", "MemAvailable").value_or(0);
  const CgroupLimits limits = read_cgroup_limits(root);
  if (!limits.memory_bytes) return available;
  const std::uint64_t left = *limits.memory_bytes - std::min(*limits.memory_bytes, limits.memory_used_bytes);
  return available == 0 ? left : std::min(available, left);
}

std::uint64_t free_node_bytes(unsigned node, const std::string& root) {
  const std::string path = fmt::format("{}/sys/devices/system/node/node{}/meminfo", root, node);
  std::uint64_t bytes = 0;
  for (const char* key : {"MemFree", "Active(file)", "Inactive(file)"}) bytes += kilobytes_of(path, fmt::format("Node {} {}", node, key)).value_or(0);
  return bytes;
}

}  // namespace gsnake::core
