// Host memory for devices, straight from the kernel.
#pragma once

#include <cstddef>
#include <string_view>

#include "device/device.h"

namespace gsnake::device {

// `bytes` zero-filled bytes on a page boundary, on huge pages where they are to be had; 0 bytes give an empty owner. All pages are
// resident on return. Throws Error(budget) where the kernel refuses; `tier`, "host" or "device", says in it which budget to lower.
// As a HostPtr's block, or as a DevicePtr's of a device whose memory is host memory. `node`: as memory::PageOptions has it.
template <typename Pointer>
Memory<Pointer> map_pages(std::size_t bytes, std::string_view tier, int node = -1);

}  // namespace gsnake::device
