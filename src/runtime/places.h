// Where a task of a flight finds the bytes of its accesses.
#pragma once

#include "runtime/flight.h"
#include "runtime/memory_image.h"

namespace gsnake::runtime {

// The memory is borrowed. Null where the task has no access of that role.
class Places {
 public:
  explicit Places(const MemoryImage& memory) : memory_(memory) {}

  [[nodiscard]] device::HostPtr host(const Flight& flight, const schedule::Access& access) const {
    return memory_.host(buffer(flight, access)) + access.offset;
  }
  [[nodiscard]] device::DevicePtr on_device(const Flight& flight, const schedule::Access& access) const {
    return memory_.on_device(buffer(flight, access)) + access.offset;
  }
  [[nodiscard]] device::HostPtr host(const Flight& flight, const schedule::Task& task, schedule::Role role) const {
    const schedule::Access* access = flight.graph().find(task, role);
    return access == nullptr ? device::HostPtr() : host(flight, *access);
  }
  [[nodiscard]] device::DevicePtr on_device(const Flight& flight, const schedule::Task& task, schedule::Role role) const {
    const schedule::Access* access = flight.graph().find(task, role);
    return access == nullptr ? device::DevicePtr() : on_device(flight, *access);
  }
  [[nodiscard]] bool is_host(const schedule::Access& access) const { return memory_.space(access.resource) == schedule::Space::host; }

 private:
  static int buffer(const Flight& flight, const schedule::Access& access) { return flight.physical[static_cast<std::size_t>(access.resource)]; }

  const MemoryImage& memory_;
};

}  // namespace gsnake::runtime
