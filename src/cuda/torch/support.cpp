#include "cuda/torch/support.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "core/threads.h"
#include "cuda/device/check.h"
#include "greedysnake/error.h"

// ATen/cuda/CUDAContextLight.h, without cuBLAS's headers.
namespace at::cuda {
void clearCublasWorkspaces();
}

namespace gsnake::cuda {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

// How many sessions compute with this project's kernels.
std::mutex users_mutex;
int users = 0;

// What LibTorch's allocator may hold on a GPU: what it held before the first session there, and what all of them may.
class Caps {
 public:
  void add(c10::DeviceIndex index, std::int64_t held) {
    const std::lock_guard lock(mutex_);
    Cap& cap = caps_[index];
    if (cap.sessions++ == 0) cap.bytes = held;
  }
  // A session's goes from `before` to `now`.
  void change(c10::DeviceIndex index, std::int64_t before, std::int64_t now, std::size_t total) {
    const std::lock_guard lock(mutex_);
    Cap& cap = caps_[index];
    cap.bytes += now - before;
    allocator::setMemoryFraction(std::clamp(static_cast<double>(cap.bytes + 1) / static_cast<double>(total), 0.0, 1.0), index);
  }
  void remove(c10::DeviceIndex index, std::int64_t own, std::size_t total) {
    change(index, own, 0, total);
    const std::lock_guard lock(mutex_);
    if (--caps_[index].sessions == 0) allocator::setMemoryFraction(1.0, index);
  }

 private:
  struct Cap {
    int sessions = 0;
    std::int64_t bytes = 0;
  };
  std::mutex mutex_;
  std::map<c10::DeviceIndex, Cap> caps_;
};

Caps& caps() {
  static auto* all = new Caps;
  return *all;
}

class CudaSupport final : public backend::DeviceSupport {
 public:
  CudaSupport(int ordinal, const KernelOps& ops) : index_(static_cast<c10::DeviceIndex>(ordinal)), ops_(ops) {
    const c10::cuda::CUDAGuard guard(index_);
    cudaDeviceProp properties{};
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, ordinal));
    total_bytes_ = properties.totalGlobalMem;  // of which LibTorch takes its fractions
    allocator::resetPeakStats(index_);
    baseline_bytes_ = reserved().current;
    caps().add(index_, baseline_bytes_);
    if (ops_.fused == nullptr) return;
    const std::lock_guard lock(users_mutex);
    if (users++ == 0) model::set_fused_ops(ops_.fused);
  }
  // Nothing of the session is left in LibTorch's allocator, where nobody else would find it: its stream ends.
  ~CudaSupport() override {
    caps().remove(index_, cap_bytes_, total_bytes_);
    at::cuda::clearCublasWorkspaces();
    allocator::emptyCache();
    if (ops_.fused == nullptr) return;
    const std::lock_guard lock(users_mutex);
    if (--users == 0) model::set_fused_ops(nullptr);
  }
  CudaSupport(const CudaSupport&) = delete;
  CudaSupport& operator=(const CudaSupport&) = delete;

  [[nodiscard]] c10::Device device() const override { return {c10::kCUDA, index_}; }

  void cap(std::uint64_t bytes) override {
    const auto now = static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, total_bytes_));
    caps().change(index_, std::exchange(cap_bytes_, now), now, total_bytes_);
  }
  [[nodiscard]] std::uint64_t peak_bytes() const override { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, reserved().peak - baseline_bytes_)); }
  void give_back() override {
    allocator::emptyCache();
    allocator::resetPeakStats(index_);
  }

  [[nodiscard]] std::shared_ptr<std::byte> allocate(std::uint64_t bytes) override {
    const c10::cuda::CUDAGuard guard(index_);
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), fmt::format("cuda:{}", index_), "cudaMalloc");
    return {static_cast<std::byte*>(memory), [](std::byte* of) { cudaFree(of); }};
  }
  [[nodiscard]] const backend::PackedOps* packed_ops() const override { return ops_.packed; }
  [[nodiscard]] std::unique_ptr<runtime::DeviceUpdates> make_updates(const backend::DeviceUpdateParts& parts) const override {
    return ops_.make_updates == nullptr ? nullptr : ops_.make_updates(index_, parts);
  }

 private:
  [[nodiscard]] c10::CachingAllocator::Stat reserved() const {
    return allocator::getDeviceStats(index_).reserved_bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  }

  const c10::DeviceIndex index_;
  const KernelOps ops_;
  std::size_t total_bytes_ = 0;
  std::int64_t baseline_bytes_ = 0;
  std::int64_t cap_bytes_ = 0;
};

// The thread on which a device's work is launched. It lives as long as the process.
class LaunchThread {
 public:
  static LaunchThread& of(int ordinal) {
    static std::mutex mutex;
    static auto* threads = new std::map<int, LaunchThread*>;
    const std::lock_guard lock(mutex);
    LaunchThread*& thread = (*threads)[ordinal];
    if (thread == nullptr) thread = new LaunchThread;
    return *thread;
  }

  // Returns, or throws what it threw, when it has run. One caller at a time.
  void run(const std::function<void()>& work) {
    const std::lock_guard one(callers_);
    std::unique_lock lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [&] { return work_ == nullptr; });
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  LaunchThread() {
    std::thread([this] { loop(); }).detach();
  }
  void loop() {
    core::set_thread_name("gs-launch");
    core::block_signals();
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return work_ != nullptr; });
      lock.unlock();
      std::exception_ptr failure;
      try {
        (*work_)();
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      failure_ = failure;
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex callers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
  std::exception_ptr failure_;
};

}  // namespace

void with_current_stream(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument) {
  LaunchThread::of(ordinal).run([&] {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromExternal(stream, static_cast<c10::DeviceIndex>(ordinal)));
    run(argument);
  });
}

std::unique_ptr<backend::DeviceSupport> make_support(int ordinal, const KernelOps& ops) {
  if (!at::globalContext().hasCUDA()) {
    throw Error(ErrorKind::usage, fmt::format("cuda:{}: LibTorch was asked whether there is CUDA before the CUDA plug-in was opened, and keeps its answer; make the Trainer "
                                              "before anything else uses LibTorch",
                                              ordinal));
  }
  at::globalContext().lazyInitDevice(c10::kCUDA);
  return std::make_unique<CudaSupport>(ordinal, ops);
}

}  // namespace gsnake::cuda
