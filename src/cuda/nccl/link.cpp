#include "cuda/nccl/link.h"

#define USE_C10D_NCCL 1  // LibTorch has it; its header asks

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <vector>

#include "cuda/device/check.h"
#include "greedysnake/error.h"

namespace gsnake::cuda {
namespace {

constexpr auto kForever = std::chrono::hours(24 * 365);

// c10d's own watchdog would end the process when a peer is gone or a call takes long: whether the others are alive is watched elsewhere. It has no other switch
// than the environment; what somebody has set stays.
void leave_failures_to_us() {
  ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
  ::setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 0);
}

// c10d's options hold a struct of NCCL's, whose size is another in each of its versions.
void check_version() {
  const std::uint64_t torchs = torch::cuda::nccl::version() >> 16;  // major and minor, 16 bits each
  constexpr std::uint64_t kOurs = (std::uint64_t{NCCL_MAJOR} << 16) | NCCL_MINOR;
  if (torchs == kOurs) return;
  throw Error(ErrorKind::usage, fmt::format("this build was made with headers of NCCL {}.{}, and LibTorch with NCCL {}.{}; build it with those of the latter, or start one rank", NCCL_MAJOR, NCCL_MINOR,
                                            torchs >> 16, torchs & 0xffffU));
}

c10::intrusive_ptr<c10d::ProcessGroupNCCL> make_group(const dist::DeviceLinkParts& parts) {
  check_version();
  leave_failures_to_us();
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = kForever;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(parts.store, parts.rank, parts.count, options);
}

class NcclLink final : public dist::DeviceLink {
 public:
  NcclLink(int ordinal, const dist::DeviceLinkParts& parts) : device_(at::kCUDA, static_cast<c10::DeviceIndex>(ordinal)), count_(parts.count), group_(make_group(parts)) {
    group_->eagerConnectSingleDevice(device_);
  }

  void all_gather(std::byte* source, std::byte* destination, std::uint64_t part_bytes) override {
    at::Tensor from = bytes_at(source, part_bytes);
    at::Tensor to = bytes_at(destination, part_bytes * static_cast<std::uint64_t>(count_));
    c10d::AllgatherOptions options;
    options.asyncOp = false;  // on the current stream
    group_->_allgather_base(to, from, options);
    on_stream_.record();
  }

  void reduce_scatter(std::byte* source, std::byte* destination, std::uint64_t part_bytes) override {
    for (std::uint64_t first = 0; first < part_bytes; first += piece_bytes_) {
      add_piece(source + first, destination + first, part_bytes, std::min(piece_bytes_, part_bytes - first));
    }
    on_stream_.record();
  }

  void reserve(std::uint64_t piece_bytes) override {
    const c10::cuda::CUDAGuard guard(device_.index());
    void* memory = nullptr;
    check(cudaMalloc(&memory, piece_bytes * static_cast<std::uint64_t>(count_)), fmt::format("cuda:{}", device_.index()), "cudaMalloc");
    scratch_ = {static_cast<std::byte*>(memory), [](std::byte* of) { cudaFree(of); }};
    piece_bytes_ = piece_bytes;
  }

  [[nodiscard]] bool idle() const override { return on_stream_.query(); }

  void abort() noexcept override {
    try {
      group_->abort();
    } catch (const std::exception&) {
      // It is of no use any more in either case.
    }
  }

 private:
  [[nodiscard]] at::Tensor bytes_at(std::byte* at, std::uint64_t bytes) const { return tensor_at(at, bytes, at::kByte); }
  [[nodiscard]] at::Tensor floats_at(std::byte* at, std::uint64_t bytes) const { return tensor_at(at, bytes / sizeof(float), at::kFloat); }
  [[nodiscard]] at::Tensor tensor_at(std::byte* at, std::uint64_t elements, at::ScalarType type) const {
    return at::for_blob(at, {static_cast<std::int64_t>(elements)}).options(at::TensorOptions(type).device(device_)).target_device(device_).make_tensor();
  }

  // Every rank's own piece comes here, and they are added in the order of ranks: NCCL's own sums depend on how the GPUs are connected.
  void add_piece(std::byte* source, std::byte* destination, std::uint64_t part_bytes, std::uint64_t bytes) {
    std::vector<at::Tensor> from;
    std::vector<at::Tensor> to;
    for (int rank = 0; rank < count_; ++rank) {
      from.push_back(floats_at(source + static_cast<std::uint64_t>(rank) * part_bytes, bytes));
      to.push_back(floats_at(scratch_.get() + static_cast<std::uint64_t>(rank) * piece_bytes_, bytes));
    }
    c10d::AllToAllOptions options;
    options.asyncOp = false;
    group_->alltoall(to, from, options);
    at::Tensor sum = floats_at(destination, bytes);
    sum.zero_();
    for (const at::Tensor& piece : to) sum.add_(piece);
  }

  const at::Device device_;
  const int count_;
  const c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
  at::cuda::CUDAEvent on_stream_;  // after the last call
  std::uint64_t piece_bytes_ = 0;
  std::shared_ptr<std::byte> scratch_;  // a piece from each rank
};

}  // namespace

std::unique_ptr<dist::DeviceLink> make_link(int ordinal, const dist::DeviceLinkParts& parts) { return std::make_unique<NcclLink>(ordinal, parts); }

}  // namespace gsnake::cuda
