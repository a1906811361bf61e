#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "greedysnake/error.h"
#include "quant/bits.h"
#include "quant/format.h"
#include "quant/kernels.h"
#include "quant/layout.h"
#include "quant/nf4.h"

namespace gsnake::quant {
namespace {

constexpr std::size_t kChunk = std::size_t{128} * 1024;  // elements that a thread packs at once
constexpr std::size_t kMostChunks = 64;                  // at once by all threads
static_assert(kChunk % (kBlock * kSecondBlock) == 0);

}  // namespace

struct Packer::State {
  Format format;
  std::uint64_t elements;
  Sink sink;
  unsigned threads;
  Layout layout;
  std::uint64_t packed = 0;    // elements that have been packed
  std::vector<float> waiting;  // fewer than a chunk
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;  // of every block so far
  std::vector<float> absmax;  // nf4: of every block so far
  std::vector<float> second;

  State(Format f, std::uint64_t n, Sink s, unsigned t) : format(f), elements(n), sink(std::move(s)), threads(std::max(1U, t)), layout(layout_of(f, n)) {
    waiting.reserve(std::min<std::uint64_t>(n, kChunk));
    if (format == Format::nf4) absmax.reserve(layout.blocks);
  }

  void check(std::span<const float> chunk) const;
  void pack(std::span<const float> chunk);
  void pack_blocks(std::span<const float> chunk);
  void finish_nf4();
  void send(std::uint64_t offset, std::span<const std::byte> bytes) const {
    if (!bytes.empty()) sink(offset, bytes);
  }
  void pad(std::uint64_t from, std::uint64_t to) const {
    static constexpr std::array<std::byte, 64> kZeros{};
    send(from, std::span(kZeros).first(to - from));
  }
};

// Names the first value that has no place in the format.
void Packer::State::check(std::span<const float> chunk) const {
  const std::uint32_t limit = format == Format::bf16 ? kInfiniteBf16 : kInfinity;
  std::atomic<bool> fits{true};
  core::parallel_for(threads, chunk.size(), kChunk, [&](std::size_t begin, std::size_t end) {
    if (kernels().greatest(chunk.data() + begin, end - begin) >= limit) fits = false;
  });
  if (fits) return;
  const auto bad = std::ranges::find_if(chunk, [&](float value) { return (std::bit_cast<std::uint32_t>(value) & kMagnitude) >= limit; });
  const auto element = packed + static_cast<std::uint64_t>(bad - chunk.begin());
  throw Error(ErrorKind::input,
              fmt::format("cannot pack a tensor as {}: its element {}, {}, {}; check the file or run that it came from", name_of(format),
                          element, *bad, std::isfinite(*bad) ? "is beyond what bf16 holds" : "is not finite"));
}

// Whole chunks, or the tensor's last elements.
void Packer::State::pack(std::span<const float> chunk) {
  check(chunk);
  if (format == Format::fp32) {
    send(packed * sizeof(float), std::as_bytes(chunk));
  } else if (format == Format::bf16) {
    codes.resize(chunk.size() * 2);
    core::parallel_for(threads, chunk.size(), kChunk, [&](std::size_t begin, std::size_t end) {
      kernels().round_bf16(reinterpret_cast<const std::byte*>(chunk.data() + begin), end - begin, reinterpret_cast<std::uint16_t*>(codes.data()) + begin);
    });
    send(packed * 2, codes);
  } else {
    pack_blocks(chunk);
  }
  packed += chunk.size();
}

void Packer::State::pack_blocks(std::span<const float> chunk) {
  const std::size_t whole = chunk.size() / layout.block;
  const std::span<const float> rest = chunk.subspan(whole * layout.block);
  const std::size_t blocks = whole + (rest.empty() ? 0 : 1);
  const std::uint64_t scale_bytes = layout.scale_bytes / layout.blocks;
  codes.resize(layout.codes_of(blocks * layout.block));
  const std::size_t first_block = packed / layout.block;
  if (format != Format::nf4) scales.resize((first_block + blocks) * scale_bytes);
  if (format == Format::nf4) absmax.resize(absmax.size() + blocks);
  const auto pack_some = [&](const float* values, std::size_t first, std::size_t count) {
    std::byte* to = codes.data() + layout.codes_of(first * layout.block);
    if (format == Format::int8) {
      kernels().pack_int8(values, count, to, reinterpret_cast<float*>(scales.data()) + first_block + first);
    } else if (format == Format::nf4) {
      kernels().pack_nf4(values, count, to, absmax.data() + first_block + first);
    } else {
      kernels().pack_mxfp4(values, count, to, scales.data() + first_block + first);
    }
  };
  core::parallel_for(threads, whole, kChunk / layout.block, [&](std::size_t begin, std::size_t end) { pack_some(chunk.data() + begin * layout.block, begin, end - begin); });
  if (!rest.empty() && format == Format::nf4) {
    absmax.back() = pack_nf4_rest(rest, codes.data() + layout.codes_of(whole * kBlock));
  } else if (!rest.empty()) {
    std::array<float, kBlock> filled{};
    std::ranges::copy(rest, filled.begin());
    pack_some(filled.data(), whole, 1);
  }
  send(layout.codes_of(packed), std::span(codes).first(layout.codes_of(chunk.size())));
}

// The sections behind the codes.
void Packer::State::finish_nf4() {
  second = {mean_of(absmax)};
  scales.resize(absmax.size());
  for (std::size_t at = 0; at < absmax.size(); at += kSecondBlock) {
    const auto some = std::span(absmax).subspan(at, std::min(kSecondBlock, absmax.size() - at));
    second.push_back(quantise_absmax(some, second.front(), reinterpret_cast<std::uint8_t*>(scales.data()) + at));
  }
}

Packer::Packer(Format format, std::uint64_t elements, Sink sink, unsigned threads) : state_(std::make_unique<State>(format, elements, std::move(sink), threads)) {}
Packer::~Packer() = default;
Packer::Packer(Packer&&) noexcept = default;
Packer& Packer::operator=(Packer&&) noexcept = default;

void Packer::add(std::span<const float> values) {
  State& s = *state_;
  const std::uint64_t left = s.elements - s.packed - s.waiting.size();
  if (values.size() > left) {
    throw Error(ErrorKind::usage, "cannot pack a tensor of " + std::to_string(s.elements) +
                                      " elements: " + std::to_string(values.size() - left) + " more were given");
  }
  while (!values.empty()) {
    std::size_t taken = std::min(values.size(), kChunk - s.waiting.size());
    if (taken == kChunk) {
      taken = std::min({values.size() / kChunk, static_cast<std::size_t>(s.threads), kMostChunks}) * kChunk;
      s.pack(values.first(taken));
    } else {
      s.waiting.insert(s.waiting.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(taken));
      if (s.waiting.size() == kChunk) {
        s.pack(s.waiting);
        s.waiting.clear();
      }
    }
    values = values.subspan(taken);
  }
}

void Packer::finish() {
  State& s = *state_;
  if (s.packed + s.waiting.size() != s.elements) {
    throw Error(ErrorKind::usage, "cannot pack a tensor of " + std::to_string(s.elements) + " elements: only " +
                                      std::to_string(s.packed + s.waiting.size()) + " were given");
  }
  if (!s.waiting.empty()) s.pack(s.waiting);
  s.waiting.clear();
  s.pad(s.layout.code_bytes, s.layout.scales);
  if (s.format == Format::nf4 && s.elements > 0) s.finish_nf4();
  s.send(s.layout.scales, s.scales);
  s.pad(s.layout.scales + s.layout.scale_bytes, s.layout.second);
  s.send(s.layout.second, std::as_bytes(std::span(s.second)));
  s.pad(s.layout.second + s.layout.second_bytes, s.layout.bytes);
}

}  // namespace gsnake::quant
