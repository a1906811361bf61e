// What a step on a GPU must not do.
#pragma once

#include <map>
#include <string>

namespace gsnake::test {

// So far, by name: calls that wait for the device or ask CUDA for memory, and operations of LibTorch's that waited.
std::map<std::string, long> waiting_calls();

}  // namespace gsnake::test
