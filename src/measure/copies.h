// Copies to and from a device.
#pragma once

#include <cstdint>
#include <memory>

#include "device/device.h"
#include "measure/load.h"
#include "sim/profile.h"

namespace gsnake::measure {

// Memory on both sides, and the device's streams. On the CPU a copy is one thread's memcpy.
class Copies {
 public:
  // About so many bytes on each side, cut into blocks. Throws Error(budget) where there is not so much.
  Copies(device::Device& device, std::uint64_t bytes, std::uint64_t block_bytes);

  // Until the load's end, which is not later than this object's. Each uses a half of the memory: one of each at a time.
  [[nodiscard]] std::unique_ptr<Load> to_device();
  [[nodiscard]] std::unique_ptr<Load> from_device();
  // Seconds that one of a few bytes takes: the median of several.
  [[nodiscard]] double latency(device::StreamKind kind);

 private:
  std::unique_ptr<Load> load(const char* what, device::StreamKind kind);
  void copy(device::StreamKind kind, std::uint64_t offset, std::uint64_t bytes);

  device::Device& device_;
  const std::uint64_t block_bytes_;
  const std::uint64_t half_bytes_;  // a multiple of the former
  device::HostMemory host_;
  device::DeviceMemory memory_;
};

// Rate, latency and shares. On the CPU device a copy keeps one core busy and crosses memory's bus twice; elsewhere it takes the cores that
// were busy, and crosses once.
sim::CopyProfile measure_copies(Copies& copies, device::StreamKind kind, bool on_cpu, const Patience& patience);

}  // namespace gsnake::measure
