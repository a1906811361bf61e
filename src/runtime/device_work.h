// What the lanes of a device give to their streams: a task of each kind with its slots resolved.
#pragma once

#include <memory>

#include "runtime/collective.h"
#include "runtime/compute.h"
#include "runtime/device_updates.h"
#include "runtime/places.h"

namespace gsnake::runtime {

// Of one lane. Memory, map, policy and backends are borrowed.
class DeviceWork {
 public:
  virtual ~DeviceWork() = default;
  // place: below the lane's number of places; of no other task that the device has. What the device refers to is kept there.
  virtual void submit(const Flight& flight, const schedule::Task& task, std::size_t place, device::Stream& stream) = 0;
  // Whoever waits inside a task for other ranks gives up. Any thread.
  virtual void give_up() noexcept {}
};

std::unique_ptr<DeviceWork> make_copies(const MemoryImage& memory);
// What computes units, and updates what the device updates.
struct Computing {
  ComputeBackend& backend;
  DeviceUpdates& updates;
  const Policy& policy;
};
std::unique_ptr<DeviceWork> make_computing(const MemoryImage& memory, const schedule::Map& map, const Computing& computing, std::size_t places);
std::unique_ptr<DeviceWork> make_collectives(const MemoryImage& memory, Collective& collective, std::size_t places);

}  // namespace gsnake::runtime
