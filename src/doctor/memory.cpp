#include <fmt/format.h>

#include "core/bytes.h"
#include "core/proc_file.h"
#include "doctor/checks.h"

namespace gsnake::doctor {

using core::format_bytes;

Finding examine_memory(const std::string& root) {
  const std::string file = root + "/proc/meminfo";
  const auto total = core::kilobytes_of(file, "MemTotal");
  const auto available = core::kilobytes_of(file, "MemAvailable");
  if (!total || !available) return {"memory", Status::unknown, file + " does not tell"};
  return {"memory", Status::ok, fmt::format("{} available of {}", format_bytes(*available), format_bytes(*total)), {},
          {{"total_bytes", *total}, {"available_bytes", *available}}};
}

Finding examine_memory_limit(const core::CgroupLimits& limits, const std::string& root) {
  Finding finding{"memory_limit", Status::ok, "no cgroup limits memory"};
  if (!limits.memory_bytes) return finding;
  finding.detail = {{"limit_bytes", *limits.memory_bytes}, {"used_bytes", limits.memory_used_bytes}, {"file", limits.memory_file}};
  finding.seen = fmt::format("a cgroup allows {}, of which {} are used ({})", format_bytes(*limits.memory_bytes), format_bytes(limits.memory_used_bytes),
                             limits.memory_file);
  if (*limits.memory_bytes >= core::kilobytes_of(root + "/proc/meminfo", "MemTotal").value_or(0)) return finding;
  finding.status = Status::warn;
  finding.remedy = "keep memory.host_budget, with device = \"cpu\" memory.device_budget as well, and some 0.5 GiB for the libraries under it, or raise it";
  return finding;
}

// Arenas ask for them (madvise), so that "madvise" is enough.
Finding examine_huge_pages(const std::string& root) {
  const std::string file = root + "/sys/kernel/mm/transparent_hugepage/enabled";
  const std::string line = core::line_of(file);
  if (line.empty()) {
    return {"huge_pages", Status::warn, "this kernel has no transparent huge pages: drives take small pages in smaller requests", "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE"};
  }
  const std::size_t begin = line.find('[');
  const std::size_t end = line.find(']');
  const std::string mode = begin == std::string::npos || end == std::string::npos ? line : line.substr(begin + 1, end - begin - 1);
  if (mode != "never") return {"huge_pages", Status::ok, fmt::format("transparent huge pages: {}", mode)};
  return {"huge_pages", Status::warn, "transparent huge pages: never; drives take small pages in smaller requests", fmt::format("echo madvise > {}", file)};
}

}  // namespace gsnake::doctor
