// The bytes behind a program's memory map: one block per space, all allocated before the first task.
#pragma once

#include <vector>

#include "device/device.h"
#include "schedule/map.h"

namespace gsnake::runtime {

class MemoryImage {
 public:
  MemoryImage(const schedule::Map& map, device::Device& device);
  // A buffer's first byte; 4096-byte aligned, or 64-byte where the buffer is smaller than a page. Throws std::logic_error for one of the other
  // space.
  [[nodiscard]] device::HostPtr host(int buffer) const { return host_.data() + offset(buffer, schedule::Space::host); }
  [[nodiscard]] device::DevicePtr on_device(int buffer) const { return device_.data() + offset(buffer, schedule::Space::device); }
  [[nodiscard]] schedule::Space space(int buffer) const { return places_[static_cast<std::size_t>(buffer)].space; }
  [[nodiscard]] const device::HostMemory& host_block() const { return host_; }
  [[nodiscard]] const device::DeviceMemory& device_block() const { return device_; }

 private:
  struct Place {
    schedule::Space space = schedule::Space::host;
    std::size_t offset = 0;
  };
  [[nodiscard]] std::size_t offset(int buffer, schedule::Space space) const {
    const Place& place = places_[static_cast<std::size_t>(buffer)];
    if (place.space != space) throw_wrong_space(buffer);
    return place.offset;
  }
  [[noreturn]] static void throw_wrong_space(int buffer);

  device::HostMemory host_;
  device::DeviceMemory device_;
  std::vector<Place> places_;  // by buffer
};

}  // namespace gsnake::runtime
