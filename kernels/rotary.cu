#include "rotary.h"

#include "numbers.h"

namespace gsnake::kernels {
namespace {

// A thread turns kWidth pairs of one head at a time. direction: 1, or -1 to turn back.
template <class T>
__global__ void __launch_bounds__(kBlock) rotary_kernel(RotaryShape shape, const T* input, HeadStrides from, const float* cos, const float* sin, T* output,
                                                        HeadStrides to, float direction, bool whole) {
  constexpr int kN = kWidth<T>;
  const std::int64_t half = shape.head_dim / 2;
  const std::int64_t groups = (half + kN - 1) / kN;
  const std::int64_t all = shape.rows * shape.heads * shape.tokens * groups;
  for (std::int64_t i = grid_thread(); i < all; i += grid_threads()) {
    // Heads of a token are next to one another in a projection's output: neighbours in this order as well.
    const std::int64_t begin = i % groups * kN;
    std::int64_t rest = i / groups;
    const std::int64_t head = rest % shape.heads;
    rest /= shape.heads;
    const std::int64_t token = rest % shape.tokens;
    const std::int64_t row = rest / shape.tokens;
    const T* const in = input + row * from.row + head * from.head + token * from.token;
    T* const out = output + row * to.row + head * to.head + token * to.token;
    float first[kN];
    float second[kN];
    load(in, begin, half, whole, first);
    load(in + half, begin, half, whole, second);
#pragma unroll
    for (int k = 0; k < kN; ++k) {
      if (begin + k >= half) break;
      const float c = cos[token * half + begin + k];
      const float s = sin[token * half + begin + k] * direction;
      const float turned = first[k] * c - second[k] * s;
      second[k] = second[k] * c + first[k] * s;
      first[k] = turned;
    }
    store(out, begin, half, whole, first);
    store(out + half, begin, half, whole, second);
  }
}

template <class T>
bool whole_strides(const HeadStrides& strides) {
  return strides.row % kWidth<T> == 0 && strides.head % kWidth<T> == 0 && strides.token % kWidth<T> == 0;
}

cudaError_t turn(const RotaryShape& shape, const void* input, const HeadStrides& from, const float* cos, const float* sin, void* output, const HeadStrides& to,
                 float direction, cudaStream_t stream) {
  if (shape.head_dim % 2 != 0) return cudaErrorInvalidValue;
  const std::int64_t vectors = shape.rows * shape.heads * shape.tokens;
  if (vectors == 0 || shape.head_dim == 0) return cudaSuccess;
  return with_type(shape.dtype, [&]<class T>(T) {
    const std::int64_t half = shape.head_dim / 2;
    const bool whole = all_aligned(input, output) && half % kWidth<T> == 0 && whole_strides<T>(from) && whole_strides<T>(to);
    const LaunchShape launched{dim3(blocks_for(vectors * ((half + kWidth<T> - 1) / kWidth<T>)))};
    return launch(stream, launched, rotary_kernel<T>, shape, static_cast<const T*>(input), from, cos, sin, static_cast<T*>(output), to, direction, whole);
  });
}

}  // namespace

cudaError_t rotary_forward(const RotaryShape& shape, const void* input, const HeadStrides& input_strides, const float* cos, const float* sin, void* output,
                           const HeadStrides& output_strides, cudaStream_t stream) {
  return turn(shape, input, input_strides, cos, sin, output, output_strides, 1.0F, stream);
}

cudaError_t rotary_backward(const RotaryShape& shape, const void* grad_output, const HeadStrides& output_strides, const float* cos, const float* sin,
                            void* grad_input, const HeadStrides& input_strides, cudaStream_t stream) {
  return turn(shape, grad_output, output_strides, cos, sin, grad_input, input_strides, -1.0F, stream);
}

}  // namespace gsnake::kernels
