// A device for tests that is as late as a GPU may be: what is submitted runs afterwards, on a thread per stream, so that a missing wait
// shows as wrong bytes, and to ThreadSanitizer as a race.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "device/device.h"

namespace gsnake::device {

struct AsyncOptions {
  std::uint64_t seed = 1;  // of the delays
  // Each copy, fill and compute starts up to so much later; one in 16 up to 16 times as much, so that a stream falls behind the others.
  std::chrono::microseconds longest_delay{80};
};

class AsyncStream;
class BlockTable;
class Failure;

// Misuse is loud. A copy or fill outside one live block of this device and of the pointer's tier throws std::logic_error from the call. Releasing a block that a copy
// or fill in flight uses, and destroying the device before its memory, abort with a message. A failure is sticky: the first exception that
// leaves a compute() is thrown by every later wait() and reached() of an event that was recorded, on any stream, and work that has not
// started by then is left out. Points are still reached, so nobody waits for ever.
class AsyncDevice final : public Device {
 public:
  explicit AsyncDevice(const AsyncOptions& options = {});
  ~AsyncDevice() override;
  AsyncDevice(const AsyncDevice&) = delete;
  AsyncDevice& operator=(const AsyncDevice&) = delete;

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  DeviceMemory device_alloc(std::size_t bytes) override;
  HostMemory host_alloc(std::size_t bytes) override;
  Stream& stream(StreamKind kind) override;
  std::unique_ptr<Event> make_event() override;

  // Between hold() and resume() nothing that waits in the stream's queue starts. With it a test decides how late a stream is, instead of
  // hoping for a delay. The destructor resumes. Any thread.
  void hold(StreamKind kind);
  void resume(StreamKind kind);

 private:
  const std::string name_ = "async";
  std::unique_ptr<Failure> failure_;
  std::unique_ptr<BlockTable> blocks_;
  std::array<std::unique_ptr<AsyncStream>, kStreamCount> streams_;
};

}  // namespace gsnake::device
