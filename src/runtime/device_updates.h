// What the compute lane asks of a device's optimizer: one chunk's update, or its norm, on the memory of slots.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/pointer.h"
#include "optim/optimizer.h"

namespace gsnake::runtime {

// An update with its slots resolved. As optim::UpdateChunk, on the device; pointers that it does not use are null.
struct DeviceUpdateCall {
  int object = 0;
  bool skipped = false;               // its step is: weights that are derived come from the master, nothing else changes
  bool opens = false;                 // `greatest` starts from nothing
  optim::StepScalars scalars;
  device::DevicePtr weight;
  device::DevicePtr master;
  std::array<device::DevicePtr, optim::kMaxStates> states{};
  device::DevicePtr gradient;
  device::DevicePtr partials;         // doubles, one for each optim::kNormBlock elements
  device::DevicePtr greatest;         // a 32-bit word, raised to the bits of the greatest magnitude among the new masters, or of another that is as fit
                                      // to be stored (optim::unstorable_magnitude())
  std::uint64_t elements = 0;
  std::uint64_t first_element = 0;    // of the object
};

// What is found in a gradient before it waits for its update; as above.
struct DeviceNormCall {
  device::DevicePtr gradient;
  device::DevicePtr partials;
  std::uint64_t elements = 0;
};

class DeviceUpdates {
 public:
  virtual ~DeviceUpdates() = default;
  // Called as ComputeBackend::run() is. The bits are those of optim::Optimizer::update() with the same arguments. Neither allocates nor waits.
  virtual void update(const device::ComputeScope& scope, const DeviceUpdateCall& call) = 0;
  // Likewise, of optim::square_sums().
  virtual void norm(const device::ComputeScope& scope, const DeviceNormCall& call) = 0;
};

// By object, both borrowed. Of a device whose memory the thread inside its guard may address as its own.
std::unique_ptr<DeviceUpdates> make_host_updates(const std::vector<const optim::Optimizer*>& optimizers, const std::vector<std::vector<optim::DecayRun>>& decay_runs);

}  // namespace gsnake::runtime
