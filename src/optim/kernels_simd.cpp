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

core::SimdTables<Kernels>& tables() {
  static core::SimdTables<Kernels> tables(scalar_kernels(), GSNAKE_SIMD_CANDIDATES(Kernels, kernels), HWY_SUPPORTED_TARGETS);
  return tables;
}

}  // namespace gsnake::optim
#endif  // HWY_ONCE
