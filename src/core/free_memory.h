// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace gsnake::core {

// What the kernel calls available and the control groups leave, whichever is less; 0 where neither can be read. `root` stands before every
// path, for tests.
std::uint64_t free_host_bytes(const std::string& root = "");

}  // namespace gsnake::core
