#include "cuda/torch/support.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::cuda {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

class CudaSupport final : public backend::DeviceSupport {
 public:
  explicit CudaSupport(int ordinal) : index_(static_cast<c10::DeviceIndex>(ordinal)) {
    const c10::cuda::CUDAGuard guard(index_);
    std::size_t available = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&available, &total_bytes_));
    baseline_bytes_ = reserved().current;
  }
  ~CudaSupport() override { allocator::setMemoryFraction(1.0, index_); }
  CudaSupport(const CudaSupport&) = delete;
  CudaSupport& operator=(const CudaSupport&) = delete;

  [[nodiscard]] c10::Device device() const override { return {c10::kCUDA, index_}; }

  void cap(std::uint64_t bytes) override {
    const double fraction = static_cast<double>(baseline_bytes_ + static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, total_bytes_)) + 1) / static_cast<double>(total_bytes_);
    allocator::setMemoryFraction(std::clamp(fraction, 0.0, 1.0), index_);
  }
  [[nodiscard]] std::uint64_t peak_bytes() const override { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, reserved().peak - baseline_bytes_)); }
  void give_back() override {
    allocator::emptyCache();
    allocator::resetPeakStats(index_);
  }

 private:
  [[nodiscard]] c10::CachingAllocator::Stat reserved() const {
    return allocator::getDeviceStats(index_).reserved_bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  }

  const c10::DeviceIndex index_;
  std::size_t total_bytes_ = 0;
  std::int64_t baseline_bytes_ = 0;
};

}  // namespace

void with_current_stream(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument) {
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromExternal(stream, static_cast<c10::DeviceIndex>(ordinal)));
  run(argument);
}

std::unique_ptr<backend::DeviceSupport> make_support(int ordinal) {
  if (!at::globalContext().hasCUDA()) {
    throw Error(ErrorKind::usage, fmt::format("cuda:{}: LibTorch was asked whether there is CUDA before the CUDA plug-in was opened, and keeps its answer; make the Trainer "
                                              "before anything else uses LibTorch",
                                              ordinal));
  }
  at::globalContext().lazyInitDevice(c10::kCUDA);
  return std::make_unique<CudaSupport>(ordinal);
}

}  // namespace gsnake::cuda
