// What every kernel here is written in: CUDA C++ for nvcc, the same words by host/simt.h for g++. For .cu files only.
//
// launch() in place of <<<>>>; GSNAKE_SHARED(float, name, count) in place of __shared__ float name[count], and
// GSNAKE_DYNAMIC_SHARED(float, name) in place of extern __shared__ float name[]. A pointer is an argument of its own, never inside a struct: the host
// build may have to translate it.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define GSNAKE_SHARED(type, name, count) __shared__ type name[count]
#define GSNAKE_DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#else
#include "host/cuda_words.h"
#define GSNAKE_SHARED(type, name, count)    \
  static constexpr char name##_tag = 0;     \
  type(&name)[count] = *static_cast<type(*)[count]>(::gsnake::simt::shared_memory(&name##_tag, sizeof(type[count])))
#define GSNAKE_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::gsnake::simt::dynamic_shared_memory())
#endif

namespace gsnake::kernels {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffU;
constexpr int kBlock = 256;  // threads, unless a kernel has reasons
constexpr std::size_t kSharedBytes = 48 << 10;  // that a block may have without asking for more

struct LaunchShape {
  dim3 grid;
  dim3 block = dim3(kBlock);
  std::size_t shared_bytes = 0;
};

// The kernel's launch, in stream order; what the launch itself returned.
template <class... P, class... A>
cudaError_t launch(cudaStream_t stream, const LaunchShape& shape, void (*kernel)(P...), A... arguments) {
#ifdef __CUDACC__
  kernel<<<shape.grid, shape.block, shape.shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
#else
  return simt::launch(stream, {shape.grid, shape.block, shape.shared_bytes}, kernel, static_cast<P>(arguments)...);
#endif
}

// Blocks for `threads` threads' worth of work that a grid-stride loop shares out: as many as fill any GPU at most.
inline unsigned blocks_for(std::int64_t threads, int per_block = kBlock) {
  std::int64_t most = 1 << 14;
#ifndef __CUDACC__
  if (simt::max_blocks() != 0) most = simt::max_blocks();
#endif
  return static_cast<unsigned>(std::clamp<std::int64_t>((threads + per_block - 1) / per_block, 1, most));
}

// Of the calling thread in a one-dimensional grid, and the grid's size.
__device__ inline std::int64_t grid_thread() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline std::int64_t grid_threads() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

}  // namespace gsnake::kernels
