// Four neighbouring threads that share norm blocks: of each 16 elements thread q holds 4 * q to 4 * q + 3, one 16-byte access, and their 4 of the
// block's 16 partial sums. So each partial sum is added in the order that the CPU adds it in, and no order depends on the launch. For .cu files only.
#pragma once

#include "device.h"
#include "square_sums.h"

namespace gsnake::kernels {

constexpr int kQuad = 4;
constexpr int kQuadElements = 4;                         // of a thread at once
constexpr int kQuadStride = kQuad * kQuadElements;       // 16: the partial sums of a block
static_assert(kNormBlock % kQuadStride == 0 && kWarp % kQuad == 0);

struct QuadSums {
  double lane[kQuadElements] = {};

  // A square of an fp32 value is exact in double, so a fused multiply-add is the CPU's product and sum.
  __device__ void add(const float (&values)[kQuadElements]) {
#pragma unroll
    for (int i = 0; i < kQuadElements; ++i) {
      const double value = values[i];
      lane[i] = __fma_rn(value, value, lane[i]);
    }
  }

  // Halves onto halves: 8 lanes are two threads away, 4 are one, 2 and 1 are this thread's. All threads of the warp take part.
  __device__ double fold() {
#pragma unroll
    for (int distance = kQuad / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int i = 0; i < kQuadElements; ++i) lane[i] = __dadd_rn(lane[i], __shfl_xor_sync(kAllLanes, lane[i], distance));
    }
    return __dadd_rn(__dadd_rn(lane[0], lane[2]), __dadd_rn(lane[1], lane[3]));
  }
};

// For each span of `span` elements (a multiple of kQuadStride) that falls to this thread's quad: group(begin) for this thread's groups of it, then
// end(span's number, whether it exists). kUnroll groups are read before the first is worked on. All threads of a warp make the same calls of end(), so that it may shuffle.
template <int kUnroll, class GroupBody, class End>
__device__ inline void each_quad_span(std::int64_t count, std::int64_t span, GroupBody group, End end) {
  const std::int64_t quads = grid_threads() / kQuad;
  const std::int64_t spans = (count + span - 1) / span;
  const std::int64_t first = grid_thread() / kQuad;
  const std::int64_t warp_first = first - (threadIdx.x % kWarp) / kQuad;  // of the warp's first quad, which has the most to do
  for (std::int64_t turn = 0; warp_first + turn < spans; turn += quads) {
    const std::int64_t mine = first + turn;
    const std::int64_t begin = mine * span;
    const std::int64_t stop = begin + span < count ? begin + span : count;
#pragma unroll kUnroll
    for (std::int64_t i = begin + (threadIdx.x % kQuad) * kQuadElements; i < stop; i += kQuadStride) group(i);
    end(mine, mine < spans);
  }
}

inline LaunchShape quad_shape(std::int64_t count, std::int64_t span) { return {dim3(blocks_for((count + span - 1) / span * kQuad))}; }

}  // namespace gsnake::kernels
