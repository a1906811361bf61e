// What the runtime asks of a device: memory, streams in order, events between them, and a guard around compute.
// The CPU implements it here; a CUDA plug-in implements the same interface. Nothing above knows which one it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace gsnake::device {

enum class StreamKind : std::uint8_t { compute, h2d, d2h, collective };
inline constexpr int kStreamCount = 4;

// A point in a stream's order. Reusable: record() moves it. An event that was never recorded counts as reached.
class Event {
 public:
  virtual ~Event() = default;
  [[nodiscard]] virtual bool reached() const = 0;  // throws what went wrong before it on the device
  virtual void wait() const = 0;                   // blocks the calling thread; throws as reached() does
};

// One per StreamKind. Work submitted to a stream runs in its order; streams are unordered but for events. A stream is used by one thread at a
// time. Calls may block (the CPU device runs work inline) or return at once (CUDA).
class Stream {
 public:
  virtual ~Stream() = default;
  // Both ranges stay valid until an event recorded after it is reached. Host memory is from this device's host_alloc().
  virtual void copy(std::byte* destination, const std::byte* source, std::size_t bytes) = 0;
  virtual void fill_zero(std::byte* destination, std::size_t bytes) = 0;
  // Runs `work` with this stream current, so that tensor operations inside it are ordered on it.
  virtual void compute(const std::function<void()>& work) = 0;
  virtual void wait(const Event& event) = 0;  // what is submitted to this stream from now on comes after `event`
  virtual void record(Event& event) = 0;
};

// Move-only owner of one block of memory.
class Memory {
 public:
  using Release = std::function<void(std::byte*, std::size_t)>;
  Memory() = default;
  Memory(std::byte* data, std::size_t bytes, Release release) : data_(data), bytes_(bytes), release_(std::move(release)) {}
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept { Memory(std::move(other)).swap(*this); return *this; }
  ~Memory() { if (data_ != nullptr) release_(data_, bytes_); }
  void swap(Memory& other) noexcept { std::swap(data_, other.data_); std::swap(bytes_, other.bytes_); std::swap(release_, other.release_); }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  Release release_;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;  // "cpu", "cuda:0"
  // Zero-filled, at least 4096-byte aligned. Throw Error(budget) where there is not enough.
  virtual Memory device_alloc(std::size_t bytes) = 0;
  virtual Memory host_alloc(std::size_t bytes) = 0;  // pinned where the device copies from it asynchronously
  virtual Stream& stream(StreamKind kind) = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
};

std::unique_ptr<Device> make_cpu_device();

}  // namespace gsnake::device
