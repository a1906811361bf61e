#include "measure/machine_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <thread>

#include "core/cgroup.h"
#include "core/proc_file.h"
#include "measure/drive_name.h"
#include "store/layout/objects.h"

namespace gsnake::measure {

MachineParts machine_parts(const std::string& device, const std::vector<std::string>& ssd_paths) {
  MachineParts parts;
  parts.cpu = core::field_of("/proc/cpuinfo", "model name").value_or("");
  if (parts.cpu.empty()) parts.cpu = core::field_of("/proc/cpuinfo", "CPU part").value_or("a processor without a name");  // as on Arm
  parts.cores = std::max(1U, std::thread::hardware_concurrency());
  const core::CgroupLimits limits = core::read_cgroup_limits();
  parts.memory = core::kilobytes_of("/proc/meminfo", "MemTotal").value_or(0);
  parts.memory = std::min(parts.memory, limits.memory_bytes.value_or(parts.memory));
  parts.quota = limits.processors.value_or(0.0);
  parts.device = device;
  for (const std::string& path : ssd_paths) parts.drives.push_back(device_of(path));
  return parts;
}

std::string key_of(const MachineParts& parts) {
  std::vector<std::string> drives = parts.drives;
  std::ranges::sort(drives);
  const std::uint64_t gib = (parts.memory + (1ULL << 29)) >> 30;
  constexpr int kVersion = 5;  // of what is measured: another one is another machine
  const std::string quota = parts.quota > 0.0 ? fmt::format("{:.2f} of them\n", parts.quota) : "";
  const std::string text = fmt::format("{}\n{}\n{}\n{}{}\n{}\n{}", kVersion, parts.cpu, parts.cores, quota, gib, parts.device, fmt::join(drives, "\n"));
  return fmt::format("{:016x}", store::checksum_of(std::as_bytes(std::span(text))));
}

std::string machine_key(const std::string& device, const std::vector<std::string>& ssd_paths) {
  return key_of(machine_parts(device, ssd_paths));
}

}  // namespace gsnake::measure
