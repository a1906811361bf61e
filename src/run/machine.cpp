#include "run/machine.h"

#include <thread>

#include "core/proc_file.h"

namespace gsnake::run {

Machine this_machine() {
  return {core::field_of("/proc/cpuinfo", "model name").value_or(""), std::thread::hardware_concurrency(), core::kilobytes_of("/proc/meminfo", "MemTotal").value_or(0)};
}

std::uint64_t peak_rss_bytes() { return core::kilobytes_of("/proc/self/status", "VmHWM").value_or(0); }

}  // namespace gsnake::run
