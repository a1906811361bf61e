// The recurrences of src/optim/kernels_scalar.cpp. Every operation is written with its rounding, so that nvcc fuses none that the CPU does not.
#include "optimizer_update.h"

#include "master_bits.h"
#include "norm_quad.h"
#include "numbers.h"
#include "reduce.h"

namespace gsnake::kernels {
namespace {

constexpr int kN = kQuadElements;

// What `master` and `weight` are in memory, for each format of weights.
template <Dtype W>
struct Weights;

template <>
struct Weights<Dtype::fp32> {
  using Weight = float;
  using Master = float;  // null
  __device__ static void load(const Weight* weight, const Master* /*none*/, std::int64_t i, std::int64_t count, bool whole, float (&w)[kN]) {
    kernels::load(weight, i, count, whole, w);
  }
  __device__ static void store(Weight* weight, Master* /*none*/, std::int64_t i, std::int64_t count, bool whole, const float (&w)[kN]) {
    kernels::store(weight, i, count, whole, w);
  }
};

template <>
struct Weights<Dtype::fp16> {
  using Weight = Fp16;
  using Master = float;
  __device__ static void load(const Weight* /*derived*/, const Master* master, std::int64_t i, std::int64_t count, bool whole, float (&w)[kN]) {
    kernels::load(master, i, count, whole, w);
  }
  __device__ static void store(Weight* weight, Master* master, std::int64_t i, std::int64_t count, bool whole, const float (&w)[kN]) {
    kernels::store(weight, i, count, whole, w);
    kernels::store(master, i, count, whole, w);
  }
};

template <>
struct Weights<Dtype::bf16> {
  using Weight = std::uint16_t;
  using Master = std::int16_t;
  __device__ static void load(const Weight* weight, const Master* remainder, std::int64_t i, std::int64_t count, bool whole, float (&w)[kN]) {
    Group<Weight, kN> upper = {};
    Group<Master, kN> lower = {};
    if (whole && i + kN <= count) {
      upper = *reinterpret_cast<const Group<Weight, kN>*>(weight + i);
      lower = *reinterpret_cast<const Group<Master, kN>*>(remainder + i);
    } else {
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        if (i + k < count) upper.at[k] = weight[i + k], lower.at[k] = remainder[i + k];
      }
    }
#pragma unroll
    for (int k = 0; k < kN; ++k) w[k] = __uint_as_float(join_bits(upper.at[k], lower.at[k]));
  }
  __device__ static void store(Weight* weight, Master* remainder, std::int64_t i, std::int64_t count, bool whole, const float (&w)[kN]) {
    Group<Weight, kN> upper;
    Group<Master, kN> lower;
#pragma unroll
    for (int k = 0; k < kN; ++k) {
      upper.at[k] = split_weight(__float_as_uint(w[k]));
      lower.at[k] = split_remainder(__float_as_uint(w[k]));
    }
    if (whole && i + kN <= count) {
      *reinterpret_cast<Group<Weight, kN>*>(weight + i) = upper;
      *reinterpret_cast<Group<Master, kN>*>(remainder + i) = lower;
    } else {
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        if (i + k < count) weight[i + k] = upper.at[k], remainder[i + k] = lower.at[k];
      }
    }
  }
};

template <MomentFormat M>
struct Moments {
  using Type = float;
};
template <>
struct Moments<MomentFormat::bf16> {
  using Type = Bf16;
};

template <UpdateRule R>
constexpr bool kSecondMoment = R == UpdateRule::adamw || R == UpdateRule::adam;

// One element: w, m and v are replaced by what they become.
template <UpdateRule R>
__device__ inline void advance(const UpdateStep& step, float decay, float g, float& w, float& m, [[maybe_unused]] float& v) {
  if constexpr (R == UpdateRule::adam || R == UpdateRule::sgd) g = __fmaf_rn(decay, w, g);
  if constexpr (kSecondMoment<R>) {
    m = __fmaf_rn(step.one_minus_beta1, __fsub_rn(g, m), m);
    v = __fmaf_rn(__fmul_rn(step.one_minus_beta2, g), g, __fmul_rn(step.beta2, v));
    const float denominator = __fmaf_rn(__fsqrt_rn(v), step.inverse_sqrt_correction2, step.epsilon);
    const float kept = R == UpdateRule::adamw ? __fmul_rn(w, decay) : w;
    w = __fmaf_rn(-step.step_size, __fdiv_rn(m, denominator), kept);
  } else if constexpr (R == UpdateRule::lion) {
    const float difference = __fsub_rn(g, m);
    const float c = __fmaf_rn(step.one_minus_beta1, difference, m);
    const float sign = fabsf(c) > 0.0F ? copysignf(1.0F, c) : c;  // a NaN stays one, and is noticed in the weight
    w = __fmaf_rn(-step.step_size, sign, __fmul_rn(w, decay));
    m = __fmaf_rn(step.one_minus_beta2, difference, m);
  } else {
    m = __fmaf_rn(step.beta1, m, g);
    w = __fmaf_rn(-step.step_size, m, w);
  }
}

// The decay of elements that are asked for in ascending order by one thread.
struct Decays {
  const DecayingRun* runs;
  int count;
  int next = 0;  // the first run that ends beyond the last element asked for

  __device__ bool decays(std::int64_t element) {
    while (next < count && runs[next].end <= element) ++next;
    return next < count && runs[next].begin <= element;
  }
};

struct Greater {
  __device__ std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const { return a < b ? b : a; }
};

template <UpdateRule R, Dtype W, MomentFormat M>
__global__ void __launch_bounds__(kBlock, 2)
    update_kernel(UpdateStep step, typename Weights<W>::Weight* weight, typename Weights<W>::Master* master, typename Moments<M>::Type* first_moment,
                  typename Moments<M>::Type* second_moment, const float* gradient, std::int64_t count, std::int64_t first_element, const DecayingRun* runs,
                  int run_count, double* partials, std::uint32_t* greatest, bool whole) {
  QuadSums sums;
  Decays decays{runs, run_count};
  std::uint32_t magnitude = 0;
  each_quad_span<1>(
      count, partials == nullptr ? kQuadStride : kNormBlock,
      [&](std::int64_t i) {
        float g[kN];
        float w[kN];
        float m[kN];
        float v[kN] = {};
        load(gradient, i, count, whole, g);
        Weights<W>::load(weight, master, i, count, whole, w);
        load(first_moment, i, count, whole, m);
        if constexpr (kSecondMoment<R>) load(second_moment, i, count, whole, v);
        if (partials != nullptr) sums.add(g);
#pragma unroll
        for (int k = 0; k < kN; ++k) {
          const float decay = decays.decays(first_element + i + k) ? step.decay : step.no_decay;
          advance<R>(step, decay, __fmul_rn(g[k], step.gradient_factor), w[k], m[k], v[k]);
          const std::uint32_t bits = __float_as_uint(w[k]) & 0x7fffffffU;
          if (i + k < count && bits > magnitude) magnitude = bits;
        }
        store(first_moment, i, count, whole, m);
        if constexpr (kSecondMoment<R>) store(second_moment, i, count, whole, v);
        Weights<W>::store(weight, master, i, count, whole, w);
      },
      [&](std::int64_t block, bool exists) {
        if (partials == nullptr) return;
        const double sum = sums.fold();
        sums = {};
        if (exists && threadIdx.x % kQuad == 0) partials[block] = sum;
      });
  magnitude = block_reduce<kBlock>(magnitude, Greater{});
  if (threadIdx.x == 0 && magnitude != 0) atomicMax(greatest, magnitude);
}

bool complete(const UpdateRules& rules, const UpdateArrays& arrays) {
  const bool second = rules.rule == UpdateRule::adamw || rules.rule == UpdateRule::adam;
  return arrays.weight != nullptr && (arrays.master != nullptr || rules.weights == Dtype::fp32) && arrays.first_moment != nullptr &&
         (arrays.second_moment != nullptr || !second) && arrays.gradient != nullptr && arrays.greatest != nullptr &&
         (arrays.runs != nullptr || arrays.run_count == 0);
}

template <UpdateRule R, Dtype W, MomentFormat M>
cudaError_t launch_update(const UpdateStep& step, const UpdateArrays& arrays, cudaStream_t stream) {
  using Moment = typename Moments<M>::Type;
  const bool whole = all_aligned(arrays.weight, arrays.master, arrays.first_moment, arrays.second_moment, arrays.gradient);
  const LaunchShape shape = quad_shape(arrays.elements, arrays.partials == nullptr ? kQuadStride : kNormBlock);
  return launch(stream, shape, update_kernel<R, W, M>, step, static_cast<typename Weights<W>::Weight*>(arrays.weight),
                static_cast<typename Weights<W>::Master*>(arrays.master), static_cast<Moment*>(arrays.first_moment),
                static_cast<Moment*>(arrays.second_moment), arrays.gradient, arrays.elements, arrays.first_element, arrays.runs, arrays.run_count,
                arrays.partials, arrays.greatest, whole);
}

template <UpdateRule R, Dtype W>
cudaError_t with_moments(MomentFormat moments, const UpdateStep& step, const UpdateArrays& arrays, cudaStream_t stream) {
  switch (moments) {
    case MomentFormat::fp32: return launch_update<R, W, MomentFormat::fp32>(step, arrays, stream);
    case MomentFormat::bf16: return launch_update<R, W, MomentFormat::bf16>(step, arrays, stream);
  }
  return cudaErrorInvalidValue;
}

template <UpdateRule R>
cudaError_t with_weights(const UpdateRules& rules, const UpdateStep& step, const UpdateArrays& arrays, cudaStream_t stream) {
  switch (rules.weights) {
    case Dtype::fp32: return with_moments<R, Dtype::fp32>(rules.moments, step, arrays, stream);
    case Dtype::bf16: return with_moments<R, Dtype::bf16>(rules.moments, step, arrays, stream);
    case Dtype::fp16: return with_moments<R, Dtype::fp16>(rules.moments, step, arrays, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t update(const UpdateRules& rules, const UpdateStep& step, const UpdateArrays& arrays, cudaStream_t stream) {
  if (arrays.elements == 0) return cudaSuccess;
  if (!complete(rules, arrays)) return cudaErrorInvalidValue;
  switch (rules.rule) {
    case UpdateRule::adamw: return with_weights<UpdateRule::adamw>(rules, step, arrays, stream);
    case UpdateRule::adam: return with_weights<UpdateRule::adam>(rules, step, arrays, stream);
    case UpdateRule::lion: return with_weights<UpdateRule::lion>(rules, step, arrays, stream);
    case UpdateRule::sgd: return with_weights<UpdateRule::sgd>(rules, step, arrays, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace gsnake::kernels
