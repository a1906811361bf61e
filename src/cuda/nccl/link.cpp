#include "cuda/nccl/link.h"

#define USE_C10D_NCCL 1  // LibTorch has it; its header asks

#include <ATen/Context.h>
#include <ATen/ops/add.h>
#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <vector>

#include "core/bytes.h"
#include "cuda/device/check.h"
#include "greedysnake/error.h"

namespace gsnake::cuda {
namespace {

constexpr auto kForever = std::chrono::hours(24 * 365);

// c10d's own watchdog would end the process when a peer is gone, a call takes long or the device fails, or stand in the way of an end for a minute: all of that is watched
// elsewhere. Waits that block, of which there are none here, are what it does without. Nor is its list of past calls of use to anybody. It has no other switches than the environment; what
// somebody has set stays.
void leave_failures_to_us() {
  ::setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
  for (const char* name : {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "TORCH_NCCL_ENABLE_MONITORING", "TORCH_FR_BUFFER_SIZE"}) ::setenv(name, "0", 0);
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
  at::globalContext().lazyInitDevice(c10::kCUDA);
  check_version();
  leave_failures_to_us();
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = kForever;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(parts.store, parts.rank, parts.count, options);
}

// Behind the last call. Asked by any thread; one that knows of no device yet would make a context on the first.
class LastCall {
 public:
  explicit LastCall(int ordinal) : ordinal_(ordinal), name_(fmt::format("cuda:{}", ordinal)) {
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(ordinal));
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), name_, "cudaEventCreateWithFlags");
  }
  ~LastCall() {
    static_cast<void>(cudaSetDevice(ordinal_));
    static_cast<void>(cudaEventDestroy(event_));
  }
  LastCall(const LastCall&) = delete;
  LastCall& operator=(const LastCall&) = delete;

  void record() const { check(cudaEventRecord(event_, c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(ordinal_))), name_, "cudaEventRecord"); }
  [[nodiscard]] bool reached() const {
    static_cast<void>(cudaSetDevice(ordinal_));
    const bool done = cudaEventQuery(event_) == cudaSuccess;
    static_cast<void>(cudaGetLastError());
    return done;
  }

 private:
  const int ordinal_;
  const std::string name_;
  cudaEvent_t event_ = nullptr;
};

class NcclLink final : public dist::DeviceLink {
 public:
  NcclLink(int ordinal, const dist::DeviceLinkParts& parts)
      : device_(at::kCUDA, static_cast<c10::DeviceIndex>(ordinal)), count_(parts.count), last_call_(ordinal), group_(make_group(parts)) {
    const c10::cuda::CUDAGuard guard(device_.index());
    group_->eagerConnectSingleDevice(device_);
  }
  // Nobody waits for it any more: whoever ends well has agreed with the others after the last call.
  ~NcclLink() override { NcclLink::abort(); }

  void all_gather(std::byte* source, std::byte* destination, std::uint64_t part_bytes) override {
    at::Tensor from = bytes_at(source, part_bytes);
    at::Tensor to = bytes_at(destination, part_bytes * static_cast<std::uint64_t>(count_));
    c10d::AllgatherOptions options;
    options.asyncOp = false;  // on the current stream
    group_->_allgather_base(to, from, options);
    last_call_.record();
  }

  void reduce_scatter(std::byte* source, std::byte* destination, std::uint64_t part_bytes) override {
    if (part_bytes > 0 && piece_bytes_ == 0) throw std::logic_error("ranks: reduce_scatter without reserve()");
    for (std::uint64_t first = 0; first < part_bytes; first += piece_bytes_) {
      add_piece(source + first, destination + first, part_bytes, std::min(piece_bytes_, part_bytes - first));
    }
    last_call_.record();
  }

  void reserve(std::uint64_t piece_bytes) override {
    if (piece_bytes <= piece_bytes_) return;
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, device_.index()));
    scratch_.reset();
    scratch_ = allocated(piece_bytes * static_cast<std::uint64_t>(count_));
    piece_bytes_ = piece_bytes;
    connect();
    guard.current_stream().synchronize();
  }

  [[nodiscard]] bool idle() const override { return last_call_.reached(); }

  void abort() noexcept override {
    if (aborted_.exchange(true)) return;
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

  [[nodiscard]] std::shared_ptr<std::byte> allocated(std::uint64_t bytes) const {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw Error(ErrorKind::budget, fmt::format("cuda:{} has no {} of memory for sums of ranks; lower memory.device_budget, or end what else uses the device", device_.index(), core::format_bytes(bytes)));
    }
    check(error, fmt::format("cuda:{}", device_.index()), "cudaMalloc");
    return {static_cast<std::byte*>(memory), [](std::byte* of) { static_cast<void>(cudaFree(of)); }};
  }

  // By a call of each kind, in place: NCCL connects ranks when they first have something for one another.
  void connect() {
    all_gather(scratch_.get() + static_cast<std::uint64_t>(group_->getRank()) * piece_bytes_, scratch_.get(), piece_bytes_);
    std::vector<at::Tensor> pieces;
    for (int rank = 0; rank < count_; ++rank) pieces.push_back(floats_at(scratch_.get() + static_cast<std::uint64_t>(rank) * piece_bytes_, piece_bytes_));
    exchange(pieces, pieces);  // of nothing that anybody reads
  }

  void exchange(std::vector<at::Tensor>& to, std::vector<at::Tensor>& from) {
    c10d::AllToAllOptions options;
    options.asyncOp = false;
    group_->alltoall(to, from, options);
  }

  // Every rank's own piece comes here, and they are added in the order of ranks: NCCL's own sums depend on how the GPUs are connected.
  void add_piece(std::byte* source, std::byte* destination, std::uint64_t part_bytes, std::uint64_t bytes) {
    std::vector<at::Tensor> from;
    std::vector<at::Tensor> to;
    for (int rank = 0; rank < count_; ++rank) {
      from.push_back(floats_at(source + static_cast<std::uint64_t>(rank) * part_bytes, bytes));
      to.push_back(floats_at(scratch_.get() + static_cast<std::uint64_t>(rank) * piece_bytes_, bytes));
    }
    exchange(to, from);
    at::Tensor sum = floats_at(destination, bytes);
    if (count_ == 1) {
      sum.copy_(to.front());
      return;
    }
    at::add_out(sum, to[0], to[1]);
    for (std::size_t rank = 2; rank < to.size(); ++rank) sum.add_(to[rank]);
  }

  const at::Device device_;
  const int count_;
  const LastCall last_call_;
  const c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
  std::atomic<bool> aborted_{false};
  std::uint64_t piece_bytes_ = 0;
  std::shared_ptr<std::byte> scratch_;  // a piece from each rank
};

}  // namespace

std::unique_ptr<dist::DeviceLink> make_link(int ordinal, const dist::DeviceLinkParts& parts) { return std::make_unique<NcclLink>(ordinal, parts); }

}  // namespace gsnake::cuda
