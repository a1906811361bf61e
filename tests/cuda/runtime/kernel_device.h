// The CUDA device on the fake runtime, whose compute() is one kernel: it runs on the stream's thread, later.
#pragma once

#include <memory>

#include "device/device.h"

namespace gsnake::test {

// Streams are late by `seed`.
std::unique_ptr<device::Device> make_kernel_device(std::uint64_t seed);

}  // namespace gsnake::test
