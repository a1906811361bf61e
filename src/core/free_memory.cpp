#include "core/free_memory.h"

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

}  // namespace gsnake::core
