#include <array>
#include <cstring>

#include "device/device.h"
#include "device/pages.h"

namespace gsnake::device {
namespace {

// Work is done when its submission returns, so every point that was recorded has been reached.
class CpuEvent final : public Event {
 public:
  bool reached() const override { return true; }
  void wait() const override {}
};

class CpuStream final : public Stream {
 public:
  void copy(DevicePtr destination, HostPtr source, std::size_t bytes) override { move(address(destination), source.get(), bytes); }
  void copy(HostPtr destination, DevicePtr source, std::size_t bytes) override { move(destination.get(), address(source), bytes); }
  void copy(DevicePtr destination, DevicePtr source, std::size_t bytes) override { move(address(destination), address(source), bytes); }
  void fill_zero(DevicePtr destination, std::size_t bytes) override {
    if (bytes > 0) std::memset(address(destination), 0, bytes);
  }
  void compute(const Work& work) override { work(inside_compute()); }
  void wait(const Event&) override {}
  void record(Event&) override {}

 private:
  static void move(std::byte* destination, const std::byte* source, std::size_t bytes) {
    if (bytes > 0) std::memcpy(destination, source, bytes);
  }
};

class CpuDevice final : public Device {
 public:
  const std::string& name() const noexcept override { return name_; }
  DeviceMemory device_alloc(std::size_t bytes) override { return map_pages<DevicePtr>(bytes, "device"); }
  HostMemory host_alloc(std::size_t bytes) override { return map_pages<HostPtr>(bytes, "host"); }
  Stream& stream(StreamKind kind) override { return streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CpuEvent>(); }

 private:
  const std::string name_ = "cpu";
  std::array<CpuStream, kStreamCount> streams_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace gsnake::device
