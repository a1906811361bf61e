// What tells one machine, with its drives, from another.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gsnake::measure {

struct MachineParts {
  std::string cpu;                  // its model; "" where the kernel does not name it
  unsigned cores = 0;               // that this process may use
  std::uint64_t memory = 0;         // bytes; no more than the control groups leave
  std::string device;               // what computes
  std::vector<std::string> drives;  // device_of() each path
  double quota = 0.0;               // as much time as so many cores would give, where the control groups hold it to that; 0: they do not
};

MachineParts machine_parts(const std::string& device, const std::vector<std::string>& ssd_paths);

// 16 hexadecimal digits. The order of the drives does not count, nor less than half a GiB of memory, which kernels differ by.
std::string key_of(const MachineParts& parts);
std::string machine_key(const std::string& device, const std::vector<std::string>& ssd_paths);

}  // namespace gsnake::measure
