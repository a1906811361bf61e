// The formats for every instruction set that Highway knows and optim's loops run on too; Highway compiles this file once for each.
#include <algorithm>
#include <array>
#include <cstdint>

#include "quant/bits.h"
#include "quant/codes.h"
#include "quant/kernels.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_PPC8 | HWY_RVV | HWY_WASM | HWY_WASM_EMU256)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

// Exact divisions (not on 32-bit Arm) and real vectors.
#undef GSNAKE_QUANT_USABLE
#define GSNAKE_QUANT_USABLE (HWY_HAVE_FLOAT64 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)

#if GSNAKE_QUANT_USABLE
HWY_BEFORE_NAMESPACE();
namespace gsnake::quant::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::CappedTag<float, 16>;  // its lanes divide a block
}  // namespace gsnake::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#include "quant/kernels_pack.inc"
#include "quant/kernels_unpack.inc"
#endif

HWY_BEFORE_NAMESPACE();
namespace gsnake::quant::HWY_NAMESPACE {

#if GSNAKE_QUANT_USABLE

const Kernels* table() {
  static const Kernels kKernels{hwy::TargetName(HWY_TARGET),
                                {unpack_int8<float>, unpack_nf4<float>, unpack_mxfp4<float>},
                                {unpack_int8<std::uint16_t>, unpack_nf4<std::uint16_t>, unpack_mxfp4<std::uint16_t>},
                                widen_bf16s,
                                round_bf16s,
                                greatest,
                                pack_int8,
                                pack_nf4,
                                pack_mxfp4};
  return &kKernels;
}

#else

const Kernels* table() { return nullptr; }

#endif

}  // namespace gsnake::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gsnake::quant {

core::SimdTables<Kernels>& tables() {
  static core::SimdTables<Kernels> tables(scalar_kernels(), GSNAKE_SIMD_CANDIDATES(Kernels, table), HWY_SUPPORTED_TARGETS);
  return tables;
}

}  // namespace gsnake::quant
#endif  // HWY_ONCE
