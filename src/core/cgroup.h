// What the control groups of this process allow it. Containers and batch systems limit memory and processors by them, which free(1) and
// nproc(1) do not show.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gsnake::core {

struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;  // the tightest limit of this group and those above it
  std::uint64_t memory_used_bytes = 0;        // of that, by all its processes; without the page cache, which makes room
  std::optional<double> processors;           // as much time as so many would give
  std::string memory_file;                    // that has the limit
  std::string processors_file;
};

// cgroup v1, v2 and both side by side. What can't be read is no limit. `root` stands before every path, for tests.
CgroupLimits read_cgroup_limits(const std::string& root = "");

}  // namespace gsnake::core
