// Elements in memory and in registers: fp32, bf16, fp16, each computed on in fp32; groups of them in accesses of up to 16 bytes. For .cu files only.
#pragma once

#include <cstdint>

#include "device.h"
#include "greedysnake/choices.h"

namespace gsnake::kernels {

struct Bf16 {
  std::uint16_t bits;
};
struct Fp16 {
  std::uint16_t bits;
};

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(Bf16 value) { return __uint_as_float(static_cast<std::uint32_t>(value.bits) << 16U); }
__device__ inline float widen(Fp16 value) {
#ifdef __CUDACC__
  return __half2float(__ushort_as_half(value.bits));
#else
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = value.bits & 0x7fffU;
  if (magnitude >= 0x7c00U) return __uint_as_float(sign | 0x7f800000U | (magnitude & 0x3ffU) << 13U);
  if (magnitude >= 0x400U) return __uint_as_float(sign | ((magnitude << 13U) + 0x38000000U));
  return std::copysign(static_cast<float>(magnitude) * 0x1p-24F, __uint_as_float(sign));
#endif
}

// To nearest, ties to even; a NaN stays one.
template <class T>
__device__ inline T narrow(float value);
template <>
__device__ inline float narrow<float>(float value) {
  return value;
}
template <>
__device__ inline Bf16 narrow<Bf16>(float value) {
#ifdef __CUDACC__
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const std::uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U)};
#endif
}
template <>
__device__ inline Fp16 narrow<Fp16>(float value) {
#ifdef __CUDACC__
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const std::uint32_t bits = __float_as_uint(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return {0x7fff};
  if (magnitude >= 0x477ff000U) return {static_cast<std::uint16_t>(sign | 0x7c00U)};  // 65520: half way to what would be 65536
  if (magnitude >= 0x38800000U) {                                                      // normal
    const std::uint32_t rebiased = magnitude - 0x38000000U;
    return {static_cast<std::uint16_t>(sign | ((rebiased + 0xfffU + ((rebiased >> 13U) & 1U)) >> 13U))};
  }
  // Denormal: adding 0.5 leaves units of 2^-24 in the significand, rounded as any sum is.
  const std::uint32_t units = __float_as_uint(__uint_as_float(magnitude) + 0.5F) - 0x3f000000U;
  return {static_cast<std::uint16_t>(sign | units)};
#endif
}

// N neighbours, which are read and written at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Group {
  T at[N];
};

// As many as 16 bytes hold.
template <class T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

// Whether groups of 16 bytes may start at a pointer (a null one may), or of `bytes`.
inline bool aligned(const void* pointer, std::size_t bytes = 16) { return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0; }
template <class... Pointers>
bool all_aligned(const Pointers*... pointers) {
  return (aligned(pointers) && ...);
}

// Elements begin .. begin + N - 1 of an array of `count`, those beyond its end as 0. `whole`: the array is aligned and begin a multiple of N.
template <int N, class T>
__device__ inline void load(const T* array, std::int64_t begin, std::int64_t count, bool whole, float (&values)[N]) {
  if (whole && begin + N <= count) {
    const auto group = *reinterpret_cast<const Group<T, N>*>(array + begin);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = widen(group.at[i]);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = begin + i < count ? widen(array[begin + i]) : 0.0F;
  }
}

template <int N, class T>
__device__ inline void store(T* array, std::int64_t begin, std::int64_t count, bool whole, const float (&values)[N]) {
  if (whole && begin + N <= count) {
    Group<T, N> group;
#pragma unroll
    for (int i = 0; i < N; ++i) group.at[i] = narrow<T>(values[i]);
    *reinterpret_cast<Group<T, N>*>(array + begin) = group;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (begin + i < count) array[begin + i] = narrow<T>(values[i]);
    }
  }
}

// body(T{}) with the element type that `dtype` names.
template <class Body>
cudaError_t with_type(Dtype dtype, Body&& body) {
  switch (dtype) {
    case Dtype::fp32: return body(float{});
    case Dtype::bf16: return body(Bf16{});
    case Dtype::fp16: return body(Fp16{});
  }
  return cudaErrorInvalidValue;
}

}  // namespace gsnake::kernels
