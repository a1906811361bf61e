// What the runtime asks of a device: memory on two tiers, streams in order, events between them, and a guard around compute.
// The CPU implements it here; a CUDA plug-in implements the same interface. Nothing above knows which one it has.
// The rules of lifetime, order and failure are explained in docs/device.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/memory_node.h"
#include "device/pointer.h"

namespace gsnake::device {

enum class StreamKind : std::uint8_t { compute, h2d, d2h, collective };
inline constexpr int kStreamCount = 4;

// A point in a stream's order. Reusable: record() moves it. An event that was never recorded counts as reached.
// A record() is ordered by the caller before the calls that are to mean it; wait() and reached() may run on several threads at once.
// It may be destroyed before it is reached.
class Event {
 public:
  virtual ~Event() = default;
  [[nodiscard]] virtual bool reached() const = 0;  // throws what went wrong before it on the device
  // Blocks the calling thread; throws as reached() does. Once it has returned or thrown, nothing before the event touches memory any more.
  virtual void wait() const = 0;
};

// One per StreamKind. Work submitted to a stream runs in its order; streams are unordered but for events. A stream is used by one thread at
// a time. Calls may block (the CPU device runs work inline) or return at once (CUDA). A call may throw what went wrong earlier on the
// device; after such a failure no further work is promised to run.
class Stream {
 public:
  virtual ~Stream() = default;
  // The ranges do not overlap, and stay valid until an event recorded after the copy is reached. No alignment is asked for.
  virtual void copy(DevicePtr destination, HostPtr source, std::size_t bytes) = 0;
  virtual void copy(HostPtr destination, DevicePtr source, std::size_t bytes) = 0;
  virtual void copy(DevicePtr destination, DevicePtr source, std::size_t bytes) = 0;
  virtual void fill_zero(DevicePtr destination, std::size_t bytes) = 0;
  // Runs `work` once with this stream current, so that tensor operations inside it are ordered on it. It may run inside the call or later,
  // in a copy, on another thread: what it refers to stays valid until an event recorded after it is reached, and by then the copy is gone.
  // What it throws leaves compute() itself, or the wait() and reached() of events recorded after it.
  using Work = std::function<void(const ComputeScope&)>;
  virtual void compute(const Work& work) = 0;
  // What is submitted to this stream from now on comes after the point at which `event` stands now: recording it again changes nothing.
  virtual void wait(const Event& event) = 0;
  virtual void record(Event& event) = 0;

 protected:
  // For those who implement streams.
  [[nodiscard]] static std::byte* address(DevicePtr place) { return place.address_; }
  [[nodiscard]] static ComputeScope inside_compute() { return {}; }
};

// Move-only owner of one block. `release` does not throw.
template <typename Pointer>
class Memory {
 public:
  using Release = std::function<void()>;
  Memory() = default;
  Memory(Pointer data, std::size_t bytes, Release release) : data_(data), bytes_(bytes), release_(std::move(release)) {}
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    Memory(std::move(other)).swap(*this);
    return *this;
  }
  ~Memory() {
    if (data_) release_();
  }
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(release_, other.release_);
  }
  [[nodiscard]] Pointer data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }  // as asked for

 private:
  Pointer data_;
  std::size_t bytes_ = 0;
  Release release_;
};

using HostMemory = Memory<HostPtr>;
using DeviceMemory = Memory<DevicePtr>;

// How a device stands to the host's memory.
struct HostSide {
  bool one_memory = false;  // what the device has is the host's memory: a copy from one tier to the other is a copy within it
  core::NearNode near;      // host_alloc() keeps to it as far as it has room; threads that serve the device should
};

// Outlives its memory, streams and events. The destructor waits for what was submitted. Allocation and make_event() may be called from any
// thread.
class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;  // "cpu", "cuda:0"
  // Zero-filled, at least 4096-byte aligned; 0 bytes give an empty owner. Throw Error(budget) where there is not enough. Device memory is
  // for this device's streams alone: only what runs inside compute() may look into it. Release a block when no work on it is in flight.
  virtual DeviceMemory device_alloc(std::size_t bytes) = 0;
  virtual HostMemory host_alloc(std::size_t bytes) = 0;  // pinned where the device copies from it asynchronously
  // The CPU says nothing: its two tiers are two budgets, and lanes are tried on it as on any device.
  [[nodiscard]] virtual HostSide host_side() const { return {}; }
  virtual Stream& stream(StreamKind kind) = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
};

// Runs everything inside the call, on the calling thread, so that submitted is done. Its device memory is host memory.
std::unique_ptr<Device> make_cpu_device();

}  // namespace gsnake::device
