#include "cross_entropy.h"

#include <cmath>

#include "numbers.h"
#include "reduce.h"

namespace gsnake::kernels {
namespace {

constexpr int kThreads = 512;

// The greatest of some values, and the sum of exp(value - greatest): a softmax's denominator in one pass (Milakov and Gimelshein, arXiv 1805.02867).
struct alignas(8) Denominator {
  float greatest;
  float sum;
};

__device__ inline float rescaled(const Denominator& part, float greatest) {
  return part.greatest == greatest ? part.sum : part.sum * expf(part.greatest - greatest);  // also where both are infinite
}

__device__ inline Denominator merged(const Denominator& a, const Denominator& b) {
  const float greatest = fmaxf(a.greatest, b.greatest);
  return {greatest, rescaled(a, greatest) + rescaled(b, greatest)};
}

struct Merge {
  __device__ Denominator operator()(const Denominator& a, const Denominator& b) const { return merged(a, b); }
};

template <class T>
__device__ Denominator row_denominator(const T* row, std::int64_t vocab, bool whole) {
  constexpr int kN = kWidth<T>;
  Denominator mine{-INFINITY, 0.0F};
  for (std::int64_t i = threadIdx.x * kN; i < vocab; i += kThreads * kN) {
    float values[kN];
    load(row, i, vocab, whole, values);
    float greatest = mine.greatest;
#pragma unroll
    for (int k = 0; k < kN; ++k) {
      if (i + k < vocab) greatest = fmaxf(greatest, values[k]);
    }
    mine.sum = rescaled(mine, greatest);
    mine.greatest = greatest;
#pragma unroll
    for (int k = 0; k < kN; ++k) {
      if (i + k < vocab) mine.sum += values[k] == greatest ? 1.0F : expf(values[k] - greatest);  // 1 where all are -infinity so far: rescaled to 0 later
    }
  }
  return block_reduce<kThreads>(mine, Merge{});
}

// A block takes a row at a time; its loss goes to losses[row].
template <class T>
__global__ void __launch_bounds__(kThreads) rows_kernel(T* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t vocab, std::int64_t ignored,
                                                        bool gradient, float factor, float* losses, bool whole) {
  constexpr int kN = kWidth<T>;
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    T* const values_of_row = logits + row * vocab;
    const std::int64_t label = labels[row];
    const bool counts = label != ignored;
    Denominator denominator{};
    if (counts) denominator = row_denominator(values_of_row, vocab, whole);
    if (threadIdx.x == 0) {
      const bool inside = label >= 0 && label < vocab;
      const float at_label = inside ? widen(values_of_row[label]) : NAN;
      losses[row] = counts ? logf(denominator.sum) + denominator.greatest - at_label : 0.0F;
    }
    __syncthreads();  // the logit at the label has been read
    if (!gradient) continue;
    for (std::int64_t i = threadIdx.x * kN; i < vocab; i += kThreads * kN) {
      float values[kN] = {};
      if (counts) {
        load(values_of_row, i, vocab, whole, values);
#pragma unroll
        for (int k = 0; k < kN; ++k) {
          const float probability = expf(values[k] - denominator.greatest) / denominator.sum;
          values[k] = (probability - (i + k == label ? 1.0F : 0.0F)) * factor;
        }
      }
      store(values_of_row, i, vocab, whole, values);
    }
  }
}

// One block: the rows' losses in double, each thread's every kThreads-th.
__global__ void __launch_bounds__(kThreads) loss_kernel(const float* losses, std::int64_t rows, float scale, double* loss) {
  double sum = 0.0;
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) sum += losses[row];
  sum = block_reduce<kThreads>(sum);
  if (threadIdx.x == 0) *loss += static_cast<double>(__fmul_rn(static_cast<float>(sum), scale));
}

}  // namespace

std::size_t cross_entropy_workspace_bytes(const CrossEntropyShape& shape) { return static_cast<std::size_t>(shape.rows) * sizeof(float); }

cudaError_t cross_entropy(const CrossEntropyShape& shape, void* logits, const std::int64_t* labels, float scale, float gradient_factor, double* loss,
                          void* workspace, cudaStream_t stream) {
  if (shape.rows == 0 || shape.vocab == 0) return cudaSuccess;
  auto* const losses = static_cast<float*>(workspace);
  const cudaError_t error = with_type(shape.dtype, [&]<class T>(T) {
    const bool whole = aligned(logits) && shape.vocab % kWidth<T> == 0;
    const LaunchShape launched{dim3(blocks_for(shape.rows * kThreads, kThreads)), dim3(kThreads)};
    return launch(stream, launched, rows_kernel<T>, static_cast<T*>(logits), labels, shape.rows, shape.vocab, shape.ignored_label, gradient_factor != 0.0F,
                  scale * gradient_factor, losses, whole);
  });
  if (error != cudaSuccess) return error;
  return launch(stream, {dim3(1), dim3(kThreads)}, loss_kernel, losses, shape.rows, scale, loss);
}

}  // namespace gsnake::kernels
