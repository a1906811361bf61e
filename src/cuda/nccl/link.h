// Bytes between ranks in GPU memory.
#pragma once

#include <memory>

#include "dist/device_link.h"

namespace gsnake::cuda {

// Connects; waits for the other ranks. Throws Error(usage) where this build has no NCCL.
std::unique_ptr<dist::DeviceLink> make_link(int ordinal, const dist::DeviceLinkParts& parts);

}  // namespace gsnake::cuda
