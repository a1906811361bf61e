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
  void copy(std::byte* destination, const std::byte* source, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(destination, source, bytes);
  }
  void fill_zero(std::byte* destination, std::size_t bytes) override {
    if (bytes > 0) std::memset(destination, 0, bytes);
  }
  void compute(const std::function<void()>& work) override { work(); }
  void wait(const Event&) override {}
  void record(Event&) override {}
};

class CpuDevice final : public Device {
 public:
  const std::string& name() const noexcept override { return name_; }
  Memory device_alloc(std::size_t bytes) override { return map_pages(bytes, "device"); }
  Memory host_alloc(std::size_t bytes) override { return map_pages(bytes, "host"); }
  Stream& stream(StreamKind kind) override { return streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CpuEvent>(); }

 private:
  const std::string name_ = "cpu";
  std::array<CpuStream, kStreamCount> streams_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace gsnake::device
