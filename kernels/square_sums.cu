#include "square_sums.h"

#include "norm_quad.h"
#include "numbers.h"

namespace gsnake::kernels {
namespace {

__device__ inline void put_sum(QuadSums& sums, std::int64_t block, bool exists, double* partials, std::uint32_t* nonfinite) {
  const double sum = sums.fold();
  sums = {};
  if (!exists || threadIdx.x % kQuad != 0) return;
  partials[block] = sum;
  if (nonfinite != nullptr && !(sum - sum == 0.0)) atomicOr(nonfinite, std::uint32_t{1});  // false of infinities and NaN
}

__global__ void __launch_bounds__(kBlock)
    square_sums_kernel(const float* gradient, std::int64_t count, double* partials, std::uint32_t* nonfinite, bool whole) {
  QuadSums sums;
  each_quad_span<4>(
      count, kNormBlock,
      [&](std::int64_t i) {
        float values[kQuadElements];
        load(gradient, i, count, whole, values);
        sums.add(values);
      },
      [&](std::int64_t block, bool exists) { put_sum(sums, block, exists, partials, nonfinite); });
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    accumulate_kernel(float* sum, const T* addend, std::int64_t count, double* partials, std::uint32_t* nonfinite, bool whole) {
  QuadSums sums;
  each_quad_span<4>(
      count, kNormBlock,
      [&](std::int64_t i) {
        float values[kQuadElements];
        float more[kQuadElements];
        load(sum, i, count, whole, values);
        load(addend, i, count, whole, more);
#pragma unroll
        for (int k = 0; k < kQuadElements; ++k) values[k] = __fadd_rn(values[k], more[k]);
        store(sum, i, count, whole, values);
        sums.add(values);
      },
      [&](std::int64_t block, bool exists) { put_sum(sums, block, exists, partials, nonfinite); });
}

}  // namespace

cudaError_t square_sums(const float* gradient, std::int64_t count, double* partials, std::uint32_t* nonfinite, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return launch(stream, quad_shape(count, kNormBlock), square_sums_kernel, gradient, count, partials, nonfinite, aligned(gradient));
}

cudaError_t accumulate(float* sum, const void* addend, Dtype dtype, std::int64_t count, double* partials, std::uint32_t* nonfinite, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return with_type(dtype, [&]<class T>(T) {
    const bool whole = aligned(sum) && aligned(addend, kQuadElements * sizeof(T));
    return launch(stream, quad_shape(count, kNormBlock), accumulate_kernel<T>, sum, static_cast<const T*>(addend), count, partials, nonfinite, whole);
  });
}

}  // namespace gsnake::kernels
