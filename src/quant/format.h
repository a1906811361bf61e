// Packed formats of frozen weights: smaller than fp32, read a piece at a time.
//
// A packed tensor of n elements is one run of packed_bytes(format, n) bytes, in sections that each begin at a multiple of 64 bytes and are
// filled up with zeros; numbers are little-endian. None of n elements is nothing, of no bytes. Blocks are of consecutive elements, the last
// one may be shorter; b is their number.
//
//   fp32   4n bytes: the elements.
//   bf16   2n bytes: the elements, to nearest, ties to even.
//   int8   Blocks of 64. n bytes: q, signed. Then 4b bytes: scale = absmax / 127 in fp32. q is x / scale to the nearest integer, ties to
//          even, within -127..127; all 0 where the scale is. Value: q * scale.
//   nf4    NormalFloat (Dettmers et al. 2023), double quantisation included, with the numbers of bitsandbytes 0.50's CPU path. Blocks
//   of 64.
//          ceil(n / 2) bytes: codes, two a byte, the high nibble first (for an odd n the last low nibble is the code of zero). Then b
//          bytes: codes of absmax. Then 4 + 4 * ceil(b / 256) bytes: the offset, which is absmax's mean (summed in double precision, in
//          order, and rounded once to fp32: bitsandbytes leaves the order to torch, and may differ by a last bit), and the greatest
//          magnitude of absmax - offset in every 256 blocks. A block's scale: map[code of absmax] * greatest + offset. Value: nf4[code] *
//          scale. Each product and sum is rounded to fp32 on its own.
//   mxfp4  OCP Microscaling Formats v1.0, MXFP4. Blocks of 32. ceil(n / 2) bytes: E2M1 elements, two a byte, the low nibble first. Then b
//          bytes: E8M0 scales, 2^(floor(log2 absmax) - 2), not below 2^-127. Elements to nearest, ties to even, saturating.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace gsnake::quant {

enum class Format : std::uint8_t { fp32, bf16, int8, nf4, mxfp4 };

const char* name_of(Format format);
// Empty for a name that none has.
std::optional<Format> format_of(std::string_view name);

// Of a tensor of so many elements: a multiple of 64, and nothing else decides it.
std::uint64_t packed_bytes(Format format, std::uint64_t elements);

// Elements [first, first + out.size()) of a packed tensor of `elements`, which `packed` points to the first byte of (at any alignment; out
// must not overlap it). Never allocates; thread-safe; the same bits on every CPU and for every way to cut a range. Throws Error(usage) for
// a range that the tensor does not have.
void dequantise(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<float> out);
// The same, rounded to bf16 to nearest, ties to even; what is beyond bf16's range becomes infinite.
void dequantise(Format format, const std::byte* packed, std::uint64_t elements, std::uint64_t first, std::span<std::uint16_t> out);

// Packs one tensor, whose elements come in order, in pieces of any size; how they are cut does not matter. Needs 1 MiB (with several threads, which
// share pieces, up to 16 MiB) and the scales, for nf4 4 bytes a block. Used from one thread at a time, and no more after it has thrown.
class Packer {
 public:
  // Gets every one of packed_bytes() once, padding included, in order; `bytes` is only valid during the call.
  // What it throws, add() and finish() throw.
  using Sink = std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>;

  Packer(Format format, std::uint64_t elements, Sink sink, unsigned threads = 1);
  ~Packer();
  Packer(Packer&&) noexcept;
  Packer& operator=(Packer&&) noexcept;
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  // Throws Error(input) for a value that is not finite, or for bf16 one that rounds to infinity, naming its element (finish() may throw it
  // as well); Error(usage) for more elements than the tensor has.
  void add(std::span<const float> values);
  // After the last element; throws Error(usage) if there should be more.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gsnake::quant
