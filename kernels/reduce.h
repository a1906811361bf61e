// Sums over the threads of a group in one fixed order. For .cu files only.
#pragma once

#include <cstring>
#include <type_traits>

#include "device.h"

namespace gsnake::kernels {

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// The value of the lane whose number differs in the bits of `distance`; T has 4 or 8 bytes.
template <class T>
__device__ inline T lane_across(T value, int distance) {
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_xor_sync(kAllLanes, value, distance);
  } else {
    static_assert(sizeof(T) == 8);
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = __shfl_xor_sync(kAllLanes, bits, distance);
    memcpy(&value, &bits, sizeof(T));
    return value;
  }
}

// Every lane's value, combined pairwise: lanes 16 apart first. All lanes get the same bits if combine(a, b) has combine(b, a)'s.
template <class T, class Combine = Plus>
__device__ inline T warp_reduce(T value, Combine combine = {}) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value = combine(value, lane_across(value, distance));
  return value;
}

// The same over a whole block of kThreads, warp by warp and then pairwise; every thread gets it. May be called again at once.
template <int kThreads, class T, class Combine = Plus>
__device__ inline T block_reduce(T value, Combine combine = {}) {
  constexpr int kWarps = kThreads / kWarp;
  static_assert(kThreads % kWarp == 0 && (kWarps & (kWarps - 1)) == 0 && kWarps <= kWarp);
  GSNAKE_SHARED(T, parts, kWarps);
  value = warp_reduce(value, combine);
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = parts[threadIdx.x % kWarps];
#pragma unroll
  for (int distance = kWarps / 2; distance > 0; distance /= 2) value = combine(value, lane_across(value, distance));
  __syncthreads();  // before the next call overwrites the parts
  return value;
}

// Over the kThreads threads that share a row: a warp, or a whole block.
template <int kThreads, class T, class Combine = Plus>
__device__ inline T row_reduce(T value, Combine combine = {}) {
  if constexpr (kThreads == kWarp) {
    return warp_reduce(value, combine);
  } else {
    return block_reduce<kThreads>(value, combine);
  }
}

}  // namespace gsnake::kernels
