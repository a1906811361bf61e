#include "cuda/device/cuda_device.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

#include "core/bytes.h"
#include "cuda/device/check.h"
#include "cuda/device/pinned_memory.h"
#include "greedysnake/error.h"

namespace gsnake::cuda {
namespace {

using device::ComputeScope;
using device::DevicePtr;
using device::HostPtr;

constexpr std::size_t kAlignment = 4096;  // cudaMalloc() promises 256

class CudaEvent final : public device::Event {
 public:
  CudaEvent(int ordinal, const std::string& device) : ordinal_(ordinal), device_(device) {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync), device_, "cudaEventCreateWithFlags");
  }
  ~CudaEvent() override {
    static_cast<void>(cudaSetDevice(ordinal_));
    static_cast<void>(cudaEventDestroy(event_));
  }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  // On threads that know of no device yet: each would make a context on the first one.
  [[nodiscard]] bool reached() const override {
    static_cast<void>(cudaSetDevice(ordinal_));
    const cudaError_t state = cudaEventQuery(event_);
    if (state != cudaErrorNotReady) check(state, device_, "work given to it before");
    if (state == cudaErrorNotReady) static_cast<void>(cudaGetLastError());
    return state == cudaSuccess;
  }
  void wait() const override {
    static_cast<void>(cudaSetDevice(ordinal_));
    const cudaError_t state = cudaEventSynchronize(event_);
    if (state == cudaSuccess) return;
    // If the wait alone failed, the work may still be under way.
    while (cudaEventQuery(event_) == cudaErrorNotReady) std::this_thread::sleep_for(std::chrono::microseconds(100));
    check(state, device_, "work given to it before");
  }
  [[nodiscard]] cudaEvent_t get() const { return event_; }

 private:
  const int ordinal_;
  const std::string& device_;
  cudaEvent_t event_ = nullptr;
};

class CudaStream final : public device::Stream {
 public:
  CudaStream(const CudaDeviceSettings& settings, const std::string& device, const PinnedMemory& pinned) : settings_(settings), device_(device), pinned_(pinned) {
    use_device();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), device_, "cudaStreamCreateWithFlags");
  }
  ~CudaStream() override {
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaStreamDestroy(stream_));
    static_cast<void>(cudaGetLastError());
  }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  void copy(DevicePtr destination, HostPtr source, std::size_t bytes) override {
    copy(address(destination), source.get(), source.get(), bytes, cudaMemcpyHostToDevice);
  }
  void copy(HostPtr destination, DevicePtr source, std::size_t bytes) override {
    copy(destination.get(), address(source), destination.get(), bytes, cudaMemcpyDeviceToHost);
  }
  void copy(DevicePtr destination, DevicePtr source, std::size_t bytes) override {
    if (bytes == 0) return;
    use_device();
    check(cudaMemcpyAsync(address(destination), address(source), bytes, cudaMemcpyDeviceToDevice, stream_), device_, "cudaMemcpyAsync");
  }
  void fill_zero(DevicePtr destination, std::size_t bytes) override {
    if (bytes == 0) return;
    use_device();
    check(cudaMemsetAsync(address(destination), 0, bytes, stream_), device_, "cudaMemsetAsync");
  }
  void compute(const Work& work) override {
    use_device();
    if (settings_.with_current == nullptr) return work(inside_compute());
    settings_.with_current(stream_, settings_.ordinal, [](void* argument) { (*static_cast<const Work*>(argument))(inside_compute()); }, const_cast<Work*>(&work));
  }
  void wait(const device::Event& event) override {
    use_device();
    check(cudaStreamWaitEvent(stream_, static_cast<const CudaEvent&>(event).get(), 0), device_, "cudaStreamWaitEvent");
  }
  void record(device::Event& event) override {
    use_device();
    check(cudaEventRecord(static_cast<CudaEvent&>(event).get(), stream_), device_, "cudaEventRecord");
  }

 private:
  // CUDA keeps a current device for each thread.
  void use_device() const { check(cudaSetDevice(settings_.ordinal), device_, "cudaSetDevice"); }

  // One call for each registration that `on_host`, an end of the copy, lies in.
  void copy(std::byte* destination, const std::byte* source, const std::byte* on_host, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    use_device();
    for (std::size_t done = 0; done < bytes;) {
      const std::size_t run = pinned_.run_at(on_host + done, bytes - done);
      check(cudaMemcpyAsync(destination + done, source + done, run, kind, stream_), device_, "cudaMemcpyAsync");
      done += run;
    }
  }

  const CudaDeviceSettings& settings_;
  const std::string& device_;
  const PinnedMemory& pinned_;
  cudaStream_t stream_ = nullptr;
};

// What the driver does not tell is nothing that computing needs.
device::HostSide host_side_of(const CudaDeviceSettings& settings) {
  int integrated = 0;
  std::array<char, 32> bus{};
  if (cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, settings.ordinal) != cudaSuccess) static_cast<void>(cudaGetLastError());
  if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), settings.ordinal) != cudaSuccess) static_cast<void>(cudaGetLastError());
  const core::Topology& machine = settings.machine != nullptr ? *settings.machine : core::Topology::machine();
  return {integrated != 0, core::near_node(machine, core::memory_node_of(bus.data(), settings.root))};
}

class CudaDevice final : public device::Device {
 public:
  explicit CudaDevice(const CudaDeviceSettings& settings)
      : settings_(settings), name_(fmt::format("cuda:{}", settings.ordinal)), host_side_(host_side_of(settings)),
        pinned_(name_, settings.register_chunk_bytes, host_side_.near.number) {
    for (auto& stream : streams_) stream = std::make_unique<CudaStream>(settings_, name_, pinned_);
    if (host_side_.near.number >= 0) start_launching();
  }

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

  device::DeviceMemory device_alloc(std::size_t bytes) override {
    if (bytes == 0) return {};
    check(cudaSetDevice(settings_.ordinal), name_, "cudaSetDevice");
    void* block = nullptr;
    const cudaError_t error = cudaMalloc(&block, bytes + kAlignment);
    if (error == cudaErrorMemoryAllocation) refuse(bytes);
    check(error, name_, "cudaMalloc");
    auto* begin = reinterpret_cast<std::byte*>(core::round_up(reinterpret_cast<std::uintptr_t>(block), kAlignment));
    device::DeviceMemory memory(DevicePtr(begin), bytes, [block, ordinal = settings_.ordinal] {
      static_cast<void>(cudaSetDevice(ordinal));
      if (cudaFree(block) != cudaSuccess) static_cast<void>(cudaGetLastError());
    });
    check(cudaMemsetAsync(begin, 0, bytes, nullptr), name_, "cudaMemsetAsync");
    check(cudaStreamSynchronize(nullptr), name_, "cudaStreamSynchronize");
    return memory;
  }
  device::HostMemory host_alloc(std::size_t bytes) override {
    check(cudaSetDevice(settings_.ordinal), name_, "cudaSetDevice");
    return pinned_.allocate(bytes);
  }
  [[nodiscard]] device::HostSide host_side() const override { return host_side_; }
  device::Stream& stream(device::StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<device::Event> make_event() override {
    check(cudaSetDevice(settings_.ordinal), name_, "cudaSetDevice");
    return std::make_unique<CudaEvent>(settings_.ordinal, name_);
  }

 private:
  // The thread that launches what is computed, where with_current() has one, begins beside the GPU.
  void start_launching() {
    const core::KeptTo beside_it(host_side_.near.cpus);
    stream(device::StreamKind::compute).compute([](const ComputeScope&) {});
  }
  [[noreturn]] void refuse(std::size_t bytes) const {
    static_cast<void>(cudaGetLastError());
    std::size_t available = 0;
    std::size_t total = 0;
    static_cast<void>(cudaMemGetInfo(&available, &total));
    throw Error(ErrorKind::budget, fmt::format("{} has no {} of memory: {} of {} are free; lower memory.device_budget, or end what else uses the device", name_,
                                               core::format_bytes(bytes), core::format_bytes(available), core::format_bytes(total)));
  }

  const CudaDeviceSettings settings_;
  const std::string name_;
  const device::HostSide host_side_;
  PinnedMemory pinned_;
  std::array<std::unique_ptr<CudaStream>, device::kStreamCount> streams_;
};

}  // namespace

std::unique_ptr<device::Device> make_cuda_device(const CudaDeviceSettings& settings) { return std::make_unique<CudaDevice>(settings); }

}  // namespace gsnake::cuda
