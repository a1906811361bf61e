// The recurrences for every instruction set with a native fused multiply-add; Highway compiles this file once for each.
#include <array>
#include <cstdint>
#include <utility>

#include "optim/bits.h"
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

// What Highway can run the loops on: native fused multiply-add, doubles, real vectors (no emulation), and no 32-bit Arm (approximate
// division).
#undef GSNAKE_OPTIM_USABLE
#define GSNAKE_OPTIM_USABLE (HWY_NATIVE_FMA && HWY_HAVE_FLOAT64 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)

#if GSNAKE_OPTIM_USABLE
HWY_BEFORE_NAMESPACE();
namespace gsnake::optim::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
}
HWY_AFTER_NAMESPACE();
#include "optim/kernels_sums.inc"
#include "optim/kernels_spans.inc"
#include "optim/kernels_update.inc"
#endif

HWY_BEFORE_NAMESPACE();
namespace gsnake::optim::HWY_NAMESPACE {

#if GSNAKE_OPTIM_USABLE

const Kernels* kernels() {
  static const Kernels kKernels{hwy::TargetName(HWY_TARGET),
                                make_updates(std::make_index_sequence<std::tuple_size_v<UpdateKernels>>()),
                                add_squares,
                                add_in_place,
                                split_master,
                                join_master,
                                to_fp16,
                                widen_bf16s,
                                widen_fp16s};
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
