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
namespace {

struct Candidate {
  std::int64_t target;
  const Kernels* (*table)();  // null: not compiled
};

// Best first, as Highway ranks them; one that needs no dispatch (the compiler's own baseline) is among them.
constexpr std::array kCandidates{
    Candidate{HWY_AVX3_DL, HWY_CHOOSE_AVX3_DL(table)}, Candidate{HWY_AVX3, HWY_CHOOSE_AVX3(table)},
    Candidate{HWY_AVX2, HWY_CHOOSE_AVX2(table)},       Candidate{HWY_SVE2_128, HWY_CHOOSE_SVE2_128(table)},
    Candidate{HWY_SVE_256, HWY_CHOOSE_SVE_256(table)}, Candidate{HWY_SVE2, HWY_CHOOSE_SVE2(table)},
    Candidate{HWY_SVE, HWY_CHOOSE_SVE(table)},         Candidate{HWY_NEON, HWY_CHOOSE_NEON(table)},
};

struct Usable {
  std::array<const Kernels*, kCandidates.size()> tables{};
  std::size_t count = 0;
};

Usable find_usable() {
  const std::int64_t supported = HWY_SUPPORTED_TARGETS;
  Usable usable;
  for (const Candidate& candidate : kCandidates) {
    const Kernels* table = (supported & candidate.target) != 0 && candidate.table != nullptr ? candidate.table() : nullptr;
    if (table != nullptr) usable.tables[usable.count++] = table;
  }
  return usable;
}

}  // namespace

std::span<const Kernels* const> simd_kernels() {
  static const Usable usable = find_usable();
  return {usable.tables.data(), usable.count};
}

}  // namespace gsnake::quant
#endif  // HWY_ONCE
