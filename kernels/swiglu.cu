#include "swiglu.h"

#include "numbers.h"

namespace gsnake::kernels {
namespace {

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

template <class T>
__global__ void __launch_bounds__(kBlock) forward_kernel(const T* gate, const T* up, T* output, std::int64_t count, bool whole) {
  constexpr int kN = kWidth<T>;
  for (std::int64_t i = grid_thread() * kN; i < count; i += grid_threads() * kN) {
    float g[kN];
    float u[kN];
    load(gate, i, count, whole, g);
    load(up, i, count, whole, u);
#pragma unroll
    for (int k = 0; k < kN; ++k) u[k] *= g[k] * sigmoid(g[k]);
    store(output, i, count, whole, u);
  }
}

// silu'(x) = s + x * s * (1 - s), s the sigmoid.
template <class T>
__global__ void __launch_bounds__(kBlock)
    backward_kernel(const T* gate, const T* up, const T* grad_output, T* grad_gate, T* grad_up, std::int64_t count, bool whole) {
  constexpr int kN = kWidth<T>;
  for (std::int64_t i = grid_thread() * kN; i < count; i += grid_threads() * kN) {
    float g[kN];
    float u[kN];
    float d[kN];
    load(gate, i, count, whole, g);
    load(up, i, count, whole, u);
    load(grad_output, i, count, whole, d);
#pragma unroll
    for (int k = 0; k < kN; ++k) {
      const float s = sigmoid(g[k]);
      const float silu = g[k] * s;
      g[k] = d[k] * u[k] * (s + silu * (1.0F - s));
      u[k] = d[k] * silu;
    }
    store(grad_gate, i, count, whole, g);
    store(grad_up, i, count, whole, u);
  }
}

}  // namespace

cudaError_t swiglu_forward(const void* gate, const void* up, void* output, Dtype dtype, std::int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return with_type(dtype, [&]<class T>(T) {
    const LaunchShape launched{dim3(blocks_for((count + kWidth<T> - 1) / kWidth<T>))};
    return launch(stream, launched, forward_kernel<T>, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(output), count,
                  all_aligned(gate, up, output));
  });
}

cudaError_t swiglu_backward(const void* gate, const void* up, const void* grad_output, void* grad_gate, void* grad_up, Dtype dtype, std::int64_t count,
                            cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return with_type(dtype, [&]<class T>(T) {
    const LaunchShape launched{dim3(blocks_for((count + kWidth<T> - 1) / kWidth<T>))};
    return launch(stream, launched, backward_kernel<T>, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<const T*>(grad_output),
                  static_cast<T*>(grad_gate), static_cast<T*>(grad_up), count, all_aligned(gate, up, grad_output, grad_gate, grad_up));
  });
}

}  // namespace gsnake::kernels
