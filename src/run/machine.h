// What the kernel says of the machine and of this process.
#pragma once

#include <cstdint>
#include <string>

namespace gsnake::run {

struct Machine {
  std::string cpu;     // "" where the kernel does not name it
  unsigned cores = 0;  // that this process may use
  std::uint64_t memory_bytes = 0;
};

Machine this_machine();

// The largest resident set of this program so far, 0 where the kernel does not tell. Not getrusage's: that one counts what the process
// was before exec as well, a large parent's memory among it.
std::uint64_t peak_rss_bytes();

}  // namespace gsnake::run
