// What the backend asks of LibTorch on a device that is not the CPU: the CUDA plug-in implements it.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace gsnake::backend {

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
};

}  // namespace gsnake::backend
