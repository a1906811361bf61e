// What the backend asks of LibTorch on a device that is not the CPU: the CUDA plug-in implements it.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "optim/optimizer.h"
#include "runtime/device_updates.h"

namespace gsnake::backend {

class PackedOps;

// What a device's updates are made for.
struct DeviceUpdateParts {
  optim::OptimizerSpec optimizer;                        // of all objects
  std::vector<std::vector<optim::DecayRun>> decay_runs;  // by object
};

class DeviceSupport {
 public:
  virtual ~DeviceSupport() = default;
  [[nodiscard]] virtual c10::Device device() const = 0;

  // LibTorch's allocator there. What it held when this object was made is not counted.
  // It may hold `bytes`: an operation that wants more throws c10::OutOfMemoryError.
  virtual void cap(std::uint64_t bytes) = 0;
  // The most that it held at once.
  [[nodiscard]] virtual std::uint64_t peak_bytes() const = 0;
  // Gives back what it holds and nobody uses, and forgets the peak. Waits for the device.
  virtual void give_back() = 0;

  // Memory of the device that lives as long as what is returned, beside LibTorch's allocator: neither capped nor counted there. Throws Error(device).
  [[nodiscard]] virtual std::shared_ptr<std::byte> allocate(std::uint64_t bytes) = 0;
  // For bases in packed formats; null: this device can't compute with them.
  [[nodiscard]] virtual const PackedOps* packed_ops() const = 0;
  // Of the optimizer, on the memory of slots; null: this device can't. Takes a few bytes of memory there for each parameter tensor, and waits for the device.
  [[nodiscard]] virtual std::unique_ptr<runtime::DeviceUpdates> make_updates(const DeviceUpdateParts& parts) const = 0;
};

}  // namespace gsnake::backend
