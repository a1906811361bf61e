// The recurrence in plain C++: the reference. Compiled without contraction (CMakeLists.txt), so only std::fma fuses.
#include <array>
#include <cmath>

#include "optim/kernels.h"

namespace gsnake::optim {
namespace {

void adamw(const AdamWStep& step, float decay, float* weight, float* moment1, float* moment2, const float* gradient, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    const float m = std::fma(step.one_minus_beta1, g - moment1[i], moment1[i]);
    const float v = std::fma(step.one_minus_beta2 * g, g, step.beta2 * moment2[i]);
    const float denominator = std::fma(std::sqrt(v), step.inverse_sqrt_correction2, step.epsilon);
    weight[i] = std::fma(-step.step_size, m / denominator, weight[i] * decay);
    moment1[i] = m;
    moment2[i] = v;
  }
}

void square_sums(const float* gradient, double* partials, std::size_t blocks) {
  for (std::size_t block = 0; block < blocks; ++block, gradient += kNormBlock) {
    std::array<double, kSumLanes> lanes{};
    for (std::size_t i = 0; i < kNormBlock; i += kSumLanes) {
      for (std::size_t lane = 0; lane < kSumLanes; ++lane) {
        const double g = gradient[i + lane];
        lanes[lane] += g * g;  // exact product (24 + 24 bits), so a fused multiply-add gives the same
      }
    }
    partials[block] = fold_lanes(lanes);
  }
}

void add_in_place(float* destination, const float* source, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) destination[i] += source[i];
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels kKernels{"scalar", adamw, square_sums, add_in_place};
  return kKernels;
}

}  // namespace gsnake::optim
