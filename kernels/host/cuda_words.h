// The words of CUDA C++ that kernels here use, for the host build. Included by kernels/device.h alone: these are macros.
#pragma once

#include <vector_functions.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "host/simt.h"

#define threadIdx (::gsnake::simt::thread_index())
#define blockIdx (::gsnake::simt::block_index())
#define blockDim (::gsnake::simt::block_shape())
#define gridDim (::gsnake::simt::grid_shape())

#undef __launch_bounds__
#define __launch_bounds__(...)

#define GSNAKE_SIMT_TEXT_OF(x) #x
#define GSNAKE_SIMT_TEXT(x) GSNAKE_SIMT_TEXT_OF(x)
#define GSNAKE_SIMT_PLACE __FILE__ ":" GSNAKE_SIMT_TEXT(__LINE__)
#define __syncthreads() ::gsnake::simt::barrier(GSNAKE_SIMT_PLACE)
#define __shfl_xor_sync(mask, value, distance) ::gsnake::simt::exchange_value(value, ::gsnake::simt::lane() ^ (distance), GSNAKE_SIMT_PLACE)
#define __shfl_down_sync(mask, value, distance) ::gsnake::simt::exchange_value(value, ::gsnake::simt::lane() + (distance), GSNAKE_SIMT_PLACE)
#define __shfl_up_sync(mask, value, distance) ::gsnake::simt::exchange_value(value, ::gsnake::simt::lane() - (distance), GSNAKE_SIMT_PLACE)
#define __shfl_sync(mask, value, from) ::gsnake::simt::exchange_value(value, from, GSNAKE_SIMT_PLACE)

// One rounding each, as on the GPU: the host build has -ffp-contract=off.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline std::uint32_t __float_as_uint(float value) { return std::bit_cast<std::uint32_t>(value); }
inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline void __stwb(uint4* address, uint4 value) { *address = value; }
inline float rsqrtf(float value) { return 1.0F / std::sqrt(value); }

// Relaxed, as on the GPU: they order nothing else.
template <class T>
T atomicAdd(T* address, T value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicOr(T* address, T value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicMax(T* address, T value) {
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(address, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
