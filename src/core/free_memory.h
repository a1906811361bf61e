// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace gsnake::core {

// What the kernel calls available and the control groups leave, whichever is less; 0 where neither can be read. `root` stands before every
// path, for tests.
std::uint64_t free_host_bytes(const std::string& root = "");

// Of one memory node, by the kernel's number: what is free there or holds files that can be read again; 0 where that can't be read.
std::uint64_t free_node_bytes(unsigned node, const std::string& root = "");

}  // namespace gsnake::core
