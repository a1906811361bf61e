#include "rms_norm.h"

#include "numbers.h"
#include "reduce.h"

namespace gsnake::kernels {
namespace {

// A row belongs to a warp where it is short, else to a whole block.
constexpr std::int64_t kWarpRow = 1024;

// The runs of rows over which weight gradients are summed first, one per worker: a number that depends on the shape alone, so that the GPU does not
// change the sum.
constexpr std::int64_t most_runs(std::int64_t hidden) { return hidden <= kWarpRow ? 1024 : 256; }
std::int64_t run_count(const RmsNormShape& shape) { return std::min(shape.rows, most_runs(shape.hidden)); }

// This thread among the kThreads that share a row, and which of those workers it belongs to.
template <int kThreads>
struct Worker {
  static constexpr int kPerBlock = kBlock / kThreads;
  int thread = static_cast<int>(threadIdx.x) % kThreads;
  int in_block = static_cast<int>(threadIdx.x) / kThreads;
  std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kPerBlock + in_block;
  std::int64_t count = static_cast<std::int64_t>(gridDim.x) * kPerBlock;
};

template <int kThreads, class T>
__global__ void __launch_bounds__(kBlock)
    forward_kernel(std::int64_t rows, std::int64_t hidden, float epsilon, const T* x, const T* weight, T* y, float* scales, bool whole) {
  constexpr int kN = kWidth<T>;
  const Worker<kThreads> worker;
  for (std::int64_t row = worker.index; row < rows; row += worker.count) {
    const T* const from = x + row * hidden;
    float sum = 0.0F;
    for (std::int64_t i = worker.thread * kN; i < hidden; i += kThreads * kN) {
      float values[kN];
      load(from, i, hidden, whole, values);
#pragma unroll
      for (int k = 0; k < kN; ++k) sum += values[k] * values[k];
    }
    const float scale = 1.0F / __fsqrt_rn(row_reduce<kThreads>(sum) / static_cast<float>(hidden) + epsilon);
    for (std::int64_t i = worker.thread * kN; i < hidden; i += kThreads * kN) {
      float values[kN];
      float weights[kN];
      load(from, i, hidden, whole, values);
      load(weight, i, hidden, whole, weights);
#pragma unroll
      for (int k = 0; k < kN; ++k) values[k] = widen(narrow<T>(values[k] * scale)) * weights[k];
      store(y + row * hidden, i, hidden, whole, values);
    }
    if (scales != nullptr && worker.thread == 0) scales[row] = scale;
  }
}

// With n = x * scale and g = grad_y * weight: grad_x = scale * (g - n * mean(g * n)); the weight's gradient is the sum of grad_y * n over rows. Worker r
// takes the r-th run of rows and adds them up in `runs` + r * hidden, or first in shared memory where `in_shared` says that it fits.
template <int kThreads, class T>
__global__ void __launch_bounds__(kBlock, 2)
    backward_kernel(std::int64_t rows, std::int64_t hidden, const T* x, const T* weight, const float* scales, const T* grad_y, T* grad_x, float* runs,
                    std::int64_t run_count, bool in_shared, bool whole) {
  constexpr int kN = kWidth<T>;
  GSNAKE_DYNAMIC_SHARED(float, shared);
  const Worker<kThreads> worker;
  if (worker.index >= run_count) return;
  float* const run = runs == nullptr ? nullptr : runs + worker.index * hidden;
  float* const sums = in_shared ? shared + worker.in_block * hidden : run;  // only this thread sees its columns
  const std::int64_t begin = worker.index * rows / run_count;
  const std::int64_t end = (worker.index + 1) * rows / run_count;
  for (std::int64_t row = begin; row < end; ++row) {
    const float scale = scales[row];
    float sum = 0.0F;
    for (std::int64_t i = worker.thread * kN; i < hidden; i += kThreads * kN) {
      float values[kN];
      float weights[kN];
      float grads[kN];
      load(x + row * hidden, i, hidden, whole, values);
      load(weight, i, hidden, whole, weights);
      load(grad_y + row * hidden, i, hidden, whole, grads);
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        const float n = values[k] * scale;
        sum += grads[k] * weights[k] * n;
        if (sums == nullptr || i + k >= hidden) continue;
        const float term = grads[k] * widen(narrow<T>(n));
        sums[i + k] = row == begin ? term : sums[i + k] + term;
      }
    }
    if (grad_x == nullptr) continue;
    const float mean = row_reduce<kThreads>(sum) / static_cast<float>(hidden);
    for (std::int64_t i = worker.thread * kN; i < hidden; i += kThreads * kN) {
      float values[kN];
      float weights[kN];
      float grads[kN];
      load(x + row * hidden, i, hidden, whole, values);
      load(weight, i, hidden, whole, weights);
      load(grad_y + row * hidden, i, hidden, whole, grads);
#pragma unroll
      for (int k = 0; k < kN; ++k) values[k] = scale * (grads[k] * weights[k] - values[k] * scale * mean);
      store(grad_x + row * hidden, i, hidden, whole, values);
    }
  }
  if (!in_shared) return;
  for (std::int64_t i = worker.thread * kN; i < hidden; i += kThreads * kN) {
    for (int k = 0; k < kN && i + k < hidden; ++k) run[i + k] = sums[i + k];
  }
}

// grad_weight[column] += the runs' sums: each of kBlock / kWarp warps adds every so-many-th run, then the first of them adds those.
__global__ void __launch_bounds__(kBlock) column_sums_kernel(const float* runs, std::int64_t run_count, std::int64_t hidden, float* grad_weight) {
  constexpr int kWarps = kBlock / kWarp;
  GSNAKE_SHARED(float, parts, kBlock);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kWarp; first < hidden; first += static_cast<std::int64_t>(gridDim.x) * kWarp) {
    const std::int64_t column = first + lane;
    float sum = 0.0F;
    if (column < hidden) {
#pragma unroll 4
      for (std::int64_t run = warp; run < run_count; run += kWarps) sum += runs[run * hidden + column];
    }
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (warp == 0 && column < hidden) {
      for (int other = 1; other < kWarps; ++other) sum += parts[other * kWarp + lane];
      grad_weight[column] += sum;
    }
    __syncthreads();
  }
}

template <class T>
bool whole_rows(std::int64_t hidden) {
  return hidden % kWidth<T> == 0;
}

// body() with the number of threads that share a row.
template <class Body>
cudaError_t with_row_threads(std::int64_t hidden, Body&& body) {
  return hidden <= kWarpRow ? body(std::integral_constant<int, kWarp>()) : body(std::integral_constant<int, kBlock>());
}

}  // namespace

cudaError_t rms_norm_forward(const RmsNormShape& shape, const void* x, const void* weight, void* y, float* scale, cudaStream_t stream) {
  if (shape.rows == 0 || shape.hidden == 0) return cudaSuccess;
  return with_type(shape.dtype, [&]<class T>(T) {
    const bool whole = all_aligned(x, weight, y) && whole_rows<T>(shape.hidden);
    return with_row_threads(shape.hidden, [&](auto threads) {
      const LaunchShape launched{dim3(blocks_for(shape.rows * threads))};
      return launch(stream, launched, forward_kernel<threads(), T>, shape.rows, shape.hidden, shape.epsilon, static_cast<const T*>(x),
                    static_cast<const T*>(weight), static_cast<T*>(y), scale, whole);
    });
  });
}

std::size_t rms_norm_workspace_bytes(const RmsNormShape& shape) { return static_cast<std::size_t>(run_count(shape) * shape.hidden) * sizeof(float); }

cudaError_t rms_norm_backward(const RmsNormShape& shape, const void* x, const void* weight, const float* scale, const void* grad_y, void* grad_x,
                              float* grad_weight, void* workspace, cudaStream_t stream) {
  if (shape.rows == 0 || shape.hidden == 0) return cudaSuccess;
  if (grad_weight != nullptr && workspace == nullptr) return cudaErrorInvalidValue;
  const std::int64_t runs = run_count(shape);
  auto* const sums = grad_weight == nullptr ? nullptr : static_cast<float*>(workspace);
  const cudaError_t error = with_type(shape.dtype, [&]<class T>(T) {
    const bool whole = all_aligned(x, weight, grad_y, grad_x) && whole_rows<T>(shape.hidden);
    return with_row_threads(shape.hidden, [&](auto threads) {
      constexpr int kPerBlock = kBlock / threads();
      const std::size_t shared_bytes = static_cast<std::size_t>(kPerBlock * shape.hidden) * sizeof(float);
      const bool in_shared = sums != nullptr && shared_bytes <= kSharedBytes - 1024;  // the reductions have some, too
      const LaunchShape launched{dim3(static_cast<unsigned>((runs + kPerBlock - 1) / kPerBlock)), dim3(kBlock), in_shared ? shared_bytes : 0};
      return launch(stream, launched, backward_kernel<threads(), T>, shape.rows, shape.hidden, static_cast<const T*>(x), static_cast<const T*>(weight),
                    scale, static_cast<const T*>(grad_y), static_cast<T*>(grad_x), sums, runs, in_shared, whole);
    });
  });
  if (error != cudaSuccess || sums == nullptr) return error;
  return launch(stream, {dim3(blocks_for(shape.hidden, kWarp))}, column_sums_kernel, sums, runs, shape.hidden, grad_weight);
}

}  // namespace gsnake::kernels
