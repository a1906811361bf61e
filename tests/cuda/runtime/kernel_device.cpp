#include "runtime/kernel_device.h"

#include <array>
#include <mutex>

#include "cuda/device/cuda_device.h"
#include "fake/control.h"
#include "fake/current_stream.h"

namespace gsnake::test {
namespace {

class KernelStream final : public device::Stream {
 public:
  explicit KernelStream(device::Stream& inner) : inner_(inner) {}
  void copy(device::DevicePtr to, device::HostPtr from, std::size_t bytes) override { inner_.copy(to, from, bytes); }
  void copy(device::HostPtr to, device::DevicePtr from, std::size_t bytes) override { inner_.copy(to, from, bytes); }
  void copy(device::DevicePtr to, device::DevicePtr from, std::size_t bytes) override { inner_.copy(to, from, bytes); }
  void fill_zero(device::DevicePtr to, std::size_t bytes) override { inner_.fill_zero(to, bytes); }
  void wait(const device::Event& event) override { inner_.wait(event); }
  void record(device::Event& event) override { inner_.record(event); }
  void compute(const Work& work) override {
    inner_.compute([&](const device::ComputeScope&) { fake_cuda_launch(current_stream, run, new Work(work)); });
  }

 private:
  static void run(void* argument) {
    const std::unique_ptr<Work> work(static_cast<Work*>(argument));
    (*work)(inside_compute());
  }
  device::Stream& inner_;
};

class KernelDevice final : public device::Device {
 public:
  KernelDevice() {
    for (std::size_t kind = 0; kind < streams_.size(); ++kind) streams_[kind] = std::make_unique<KernelStream>(inner_->stream(static_cast<device::StreamKind>(kind)));
  }
  [[nodiscard]] const std::string& name() const noexcept override { return inner_->name(); }
  device::DeviceMemory device_alloc(std::size_t bytes) override { return inner_->device_alloc(bytes); }
  device::HostMemory host_alloc(std::size_t bytes) override { return inner_->host_alloc(bytes); }
  [[nodiscard]] device::HostSide host_side() const override { return inner_->host_side(); }
  device::Stream& stream(device::StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<device::Event> make_event() override { return inner_->make_event(); }

 private:
  std::unique_ptr<device::Device> inner_ = cuda::make_cuda_device({.register_chunk_bytes = std::size_t{1} << 16U, .with_current = with_current});
  std::array<std::unique_ptr<KernelStream>, device::kStreamCount> streams_;
};

}  // namespace

std::unique_ptr<device::Device> make_kernel_device(std::uint64_t seed) {
  static std::once_flag once;
  std::call_once(once, fake_cuda_open_memory);
  const FakeCudaDelays delays{seed, 6, 150, seed % 3 == 0 ? 10U : 1U};
  fake_cuda_set_delays(&delays);
  return std::make_unique<KernelDevice>();
}

}  // namespace gsnake::test
