// This project's kernels, built for the host, as the fake GPU's.
#pragma once

#include "cuda/torch/fused.h"
#include "fake/control.h"
#include "kernels/host/simt.h"

namespace gsnake::test {

// From now on a launch of theirs is the fake runtime's; their threads run in the order of `seed`.
inline void launch_on_fake_gpu(std::uint64_t seed) {
  simt::set_submit([](cudaStream_t stream, void (*run)(void*), void* argument) { return fake_cuda_launch(stream, run, argument); },
                   [](const void* place) -> const void* { return fake_cuda_real(place); });
  simt::set_seed(seed);
}

// And models on cuda:0 compute with them.
inline void use_host_kernels(std::uint64_t seed) {
  launch_on_fake_gpu(seed);
  model::set_fused_ops(&cuda::fused_ops());
}

// While it lives.
class FusedOnHost {
 public:
  explicit FusedOnHost(std::uint64_t seed) { use_host_kernels(seed); }
  ~FusedOnHost() { model::set_fused_ops(nullptr); }
  FusedOnHost(const FusedOnHost&) = delete;
  FusedOnHost& operator=(const FusedOnHost&) = delete;
};

}  // namespace gsnake::test
