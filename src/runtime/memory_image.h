// The bytes behind a program's memory map: one block per space, all allocated before the first task.
#pragma once

#include <vector>

#include "device/device.h"
#include "schedule/map.h"

namespace gsnake::runtime {

class MemoryImage {
 public:
  MemoryImage(const schedule::Map& map, device::Device& device);
  // Of a buffer's first byte; 4096-byte aligned, or 64-byte where the buffer is smaller than a page.
  [[nodiscard]] std::byte* address(int buffer) const { return addresses_[static_cast<std::size_t>(buffer)]; }
  [[nodiscard]] const device::Memory& host() const { return host_; }
  [[nodiscard]] const device::Memory& device() const { return device_; }

  // What a buffer takes, and the two blocks, in bytes, before anything is allocated.
  static std::uint64_t bytes_of(const schedule::Buffer& buffer);
  static std::uint64_t host_bytes(const schedule::Map& map);
  static std::uint64_t device_bytes(const schedule::Map& map);

 private:
  device::Memory host_;
  device::Memory device_;
  std::vector<std::byte*> addresses_;
};

}  // namespace gsnake::runtime
