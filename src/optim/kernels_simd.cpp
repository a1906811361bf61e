// The recurrence for every instruction set with a native fused multiply-add; Highway compiles this file once for each.
#include <array>
#include <cstdint>

#include "optim/kernels.h"

// Without native fused multiply-add Highway's MulAdd rounds twice, and some of these have approximate divisions: the scalar reference is
// used there.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_PPC8 | HWY_WASM | HWY_WASM_EMU256)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "optim/kernels_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace gsnake::optim::HWY_NAMESPACE {

// Emulated targets, and 32-bit Arm (no doubles, approximate division), end here.
#if HWY_NATIVE_FMA && HWY_HAVE_FLOAT64 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128

namespace hn = hwy::HWY_NAMESPACE;

// One request per cache line, eight lines ahead (docs/optimizer.md has what it buys). Reaching past the end is harmless: a prefetch never
// faults.
constexpr std::size_t kPrefetchStride = 16;
constexpr std::size_t kPrefetchAhead = 128;

void adamw(const AdamWStep& step, float decay, float* HWY_RESTRICT weight, float* HWY_RESTRICT moment1, float* HWY_RESTRICT moment2,
           const float* HWY_RESTRICT gradient, std::size_t count) {
  const hn::ScalableTag<float> tag;
  const std::size_t lanes = hn::Lanes(tag);
  const auto beta2 = hn::Set(tag, step.beta2);
  const auto one_minus_beta1 = hn::Set(tag, step.one_minus_beta1);
  const auto one_minus_beta2 = hn::Set(tag, step.one_minus_beta2);
  const auto correction = hn::Set(tag, step.inverse_sqrt_correction2);
  const auto epsilon = hn::Set(tag, step.epsilon);
  const auto step_size = hn::Set(tag, step.step_size);
  const auto factor = hn::Set(tag, decay);
  const auto update = [&](std::size_t i) HWY_ATTR {
    const auto g = hn::LoadU(tag, gradient + i);
    const auto m_before = hn::LoadU(tag, moment1 + i);
    const auto m = hn::MulAdd(one_minus_beta1, hn::Sub(g, m_before), m_before);
    const auto v = hn::MulAdd(hn::Mul(one_minus_beta2, g), g, hn::Mul(beta2, hn::LoadU(tag, moment2 + i)));
    const auto denominator = hn::MulAdd(hn::Sqrt(v), correction, epsilon);
    const auto w = hn::NegMulAdd(step_size, hn::Div(m, denominator), hn::Mul(hn::LoadU(tag, weight + i), factor));
    hn::StoreU(m, tag, moment1 + i);
    hn::StoreU(v, tag, moment2 + i);
    hn::StoreU(w, tag, weight + i);
  };
  std::size_t i = 0;
  const std::size_t stride = lanes > kPrefetchStride ? lanes : kPrefetchStride;
  for (; i + stride <= count; i += stride) {
    for (const float* array :
         {gradient, static_cast<const float*>(moment1), static_cast<const float*>(moment2), static_cast<const float*>(weight)}) {
      hwy::Prefetch(array + i + kPrefetchAhead);
    }
    for (std::size_t j = 0; j < stride; j += lanes) update(i + j);
  }
  for (; i + lanes <= count; i += lanes) update(i);
  scalar_kernels().adamw(step, decay, weight + i, moment1 + i, moment2 + i, gradient + i, count - i);
}

// Eight pairs: the widest that every target has, so that the sixteen partial sums are the same ones everywhere.
void square_sums(const float* HWY_RESTRICT gradient, double* HWY_RESTRICT partials, std::size_t blocks) {
  const hn::CappedTag<double, 2> tag;
  const hn::Rebind<float, decltype(tag)> tag32;
  const auto accumulate = [&](const float* from, auto& sum) HWY_ATTR {
    const auto g = hn::PromoteTo(tag, hn::LoadU(tag32, from));
    sum = hn::MulAdd(g, g, sum);
  };
  for (std::size_t block = 0; block < blocks; ++block, gradient += kNormBlock) {
    auto s0 = hn::Zero(tag), s1 = hn::Zero(tag), s2 = hn::Zero(tag), s3 = hn::Zero(tag);
    auto s4 = hn::Zero(tag), s5 = hn::Zero(tag), s6 = hn::Zero(tag), s7 = hn::Zero(tag);
    for (const float *from = gradient, *end = gradient + kNormBlock; from != end; from += kSumLanes) {
      accumulate(from, s0);
      accumulate(from + 2, s1);
      accumulate(from + 4, s2);
      accumulate(from + 6, s3);
      accumulate(from + 8, s4);
      accumulate(from + 10, s5);
      accumulate(from + 12, s6);
      accumulate(from + 14, s7);
    }
    std::array<double, kSumLanes> lanes;
    double* to = lanes.data();
    hn::StoreU(s0, tag, to);
    hn::StoreU(s1, tag, to + 2);
    hn::StoreU(s2, tag, to + 4);
    hn::StoreU(s3, tag, to + 6);
    hn::StoreU(s4, tag, to + 8);
    hn::StoreU(s5, tag, to + 10);
    hn::StoreU(s6, tag, to + 12);
    hn::StoreU(s7, tag, to + 14);
    partials[block] = fold_lanes(lanes);
  }
}

void add_in_place(float* HWY_RESTRICT destination, const float* HWY_RESTRICT source, std::size_t count) {
  const hn::ScalableTag<float> tag;
  const std::size_t lanes = hn::Lanes(tag);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(tag, destination + i), hn::LoadU(tag, source + i)), tag, destination + i);
  }
  scalar_kernels().add_in_place(destination + i, source + i, count - i);
}

const Kernels* kernels() {
  static const Kernels kKernels{hwy::TargetName(HWY_TARGET), adamw, square_sums, add_in_place};
  return &kKernels;
}

#else

const Kernels* kernels() { return nullptr; }

#endif

}  // namespace gsnake::optim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gsnake::optim {
namespace {

struct Candidate {
  std::int64_t target;
  const Kernels* (*kernels)();  // null: not compiled
};

// Best first, as Highway ranks them; one that needs no dispatch (the compiler's own baseline) is among them.
constexpr std::array kCandidates{
    Candidate{HWY_AVX3_DL, HWY_CHOOSE_AVX3_DL(kernels)}, Candidate{HWY_AVX3, HWY_CHOOSE_AVX3(kernels)},
    Candidate{HWY_AVX2, HWY_CHOOSE_AVX2(kernels)},       Candidate{HWY_SVE2_128, HWY_CHOOSE_SVE2_128(kernels)},
    Candidate{HWY_SVE_256, HWY_CHOOSE_SVE_256(kernels)}, Candidate{HWY_SVE2, HWY_CHOOSE_SVE2(kernels)},
    Candidate{HWY_SVE, HWY_CHOOSE_SVE(kernels)},         Candidate{HWY_NEON, HWY_CHOOSE_NEON(kernels)},
    Candidate{HWY_RVV, HWY_CHOOSE_RVV(kernels)},
};

struct Usable {
  std::array<const Kernels*, kCandidates.size()> tables{};
  std::size_t count = 0;
};

Usable find_usable() {
  const std::int64_t supported = HWY_SUPPORTED_TARGETS;
  Usable usable;
  for (const Candidate& candidate : kCandidates) {
    const Kernels* table = (supported & candidate.target) != 0 && candidate.kernels != nullptr ? candidate.kernels() : nullptr;
    if (table != nullptr) usable.tables[usable.count++] = table;
  }
  return usable;
}

}  // namespace

std::span<const Kernels* const> simd_kernels() {
  static const Usable usable = find_usable();
  return {usable.tables.data(), usable.count};
}

}  // namespace gsnake::optim
#endif  // HWY_ONCE
