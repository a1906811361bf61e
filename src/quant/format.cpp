#include "quant/format.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "quant/bits.h"
#include "quant/kernels.h"
#include "quant/layout.h"
#include "quant/nf4.h"

namespace gsnake::quant {
namespace {

constexpr std::array<const char*, 5> kNames{"fp32", "bf16", "int8", "nf4", "mxfp4"};
constexpr std::uint64_t kAlignment = 64;
constexpr std::size_t kBatch = 256;  // blocks whose scales are worked out at once

void find_scales(Format format, const Layout& layout, const std::byte* packed, std::uint64_t first, std::span<float> out) {
  const std::byte* scales = packed + layout.scales;
  if (format == Format::int8) {
    std::memcpy(out.data(), scales + first * sizeof(float), out.size_bytes());
  } else if (format == Format::nf4) {
    nf4_scales(scales, packed + layout.second, first, out);
  } else {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = power_of_e8m0(static_cast<std::uint8_t>(scales[first + i]));
  }
}

template <class Out>
UnpackBlocks<Out> unpacker(Format format) {
  const Unpack<Out>& unpack = []() -> const Unpack<Out>& {
    if constexpr (std::is_same_v<Out, float>)
      return kernels().to_fp32;
    else
      return kernels().to_bf16;
  }();
  return format == Format::int8 ? unpack.int8 : format == Format::nf4 ? unpack.nf4 : unpack.mxfp4;
}

// A block of which only a part is wanted goes through a buffer: codes are there for the whole of it, in the section's padding if need be.
template <class Out>
void unpack_blocks(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<Out> out) {
  const Layout layout = layout_of(format, elements);
  const UnpackBlocks<Out> unpack = unpacker<Out>(format);
  const std::uint64_t code_bytes = layout.codes_of(layout.block);
  std::array<float, kBatch> scales{};
  while (!out.empty()) {
    const std::uint64_t block = first / layout.block;
    const std::uint64_t skipped = first % layout.block;
    const std::uint64_t whole = std::min<std::uint64_t>(out.size() / layout.block, kBatch);
    const std::size_t blocks = skipped != 0 || whole == 0 ? 1 : whole;
    std::size_t done = blocks * layout.block;
    find_scales(format, layout, packed, block, std::span(scales).first(blocks));
    if (skipped == 0 && whole != 0) {
      unpack(packed + block * code_bytes, scales.data(), blocks, out.data());
    } else {
      std::array<Out, kBlock> one{};
      unpack(packed + block * code_bytes, scales.data(), 1, one.data());
      done = std::min<std::size_t>(out.size(), layout.block - skipped);
      std::copy_n(one.data() + skipped, done, out.data());
    }
    first += done;
    out = out.subspan(done);
  }
}

template <class Out>
void dequantise_any(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<Out> out) {
  if (first > elements || out.size() > elements - first) {
    throw Error(ErrorKind::usage, "cannot dequantise " + std::to_string(out.size()) + " elements from element " + std::to_string(first) +
                                      " on: the packed tensor has " + std::to_string(elements) + "; ask for less");
  }
  constexpr Format kSame = std::is_same_v<Out, float> ? Format::fp32 : Format::bf16;
  if (out.empty()) return;
  if (format == kSame) {
    std::memcpy(out.data(), packed + first * sizeof(Out), out.size_bytes());
  } else if (format == Format::fp32 || format == Format::bf16) {
    if constexpr (kSame == Format::fp32)
      kernels().widen_bf16(packed + first * 2, out.size(), out.data());
    else
      kernels().round_bf16(packed + first * 4, out.size(), out.data());
  } else {
    unpack_blocks(format, packed, elements, first, out);
  }
}

}  // namespace

const char* name_of(Format format) { return kNames[static_cast<std::size_t>(format)]; }

std::optional<Format> format_of(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Format>(found - kNames.begin());
}

Layout layout_of(Format format, std::uint64_t elements) {
  constexpr std::array<std::uint64_t, 5> kCodeBits{32, 16, 8, 4, 4};
  constexpr std::array<std::uint64_t, 5> kBlocks{1, 1, kBlock, kBlock, kMxBlock};
  constexpr std::array<std::uint64_t, 5> kScaleBytes{0, 0, 4, 1, 1};
  const auto index = static_cast<std::size_t>(format);
  Layout layout;
  layout.block = kBlocks[index];
  layout.code_bits = kCodeBits[index];
  layout.blocks = core::ceil_div(elements, layout.block);
  layout.code_bytes = layout.codes_of(elements);
  layout.scales = core::round_up(layout.code_bytes, kAlignment);
  layout.scale_bytes = layout.blocks * kScaleBytes[index];
  layout.second = layout.scales + core::round_up(layout.scale_bytes, kAlignment);
  if (format == Format::nf4 && elements > 0) layout.second_bytes = sizeof(float) * (1 + core::ceil_div(layout.blocks, kSecondBlock));
  layout.bytes = layout.second + core::round_up(layout.second_bytes, kAlignment);
  return layout;
}

std::uint64_t packed_bytes(Format format, std::uint64_t elements) { return layout_of(format, elements).bytes; }

void dequantise(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<float> out) {
  dequantise_any(format, packed, elements, first, out);
}

void dequantise(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<std::uint16_t> out) {
  dequantise_any(format, packed, elements, first, out);
}

}  // namespace gsnake::quant
