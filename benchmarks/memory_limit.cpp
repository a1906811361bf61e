#include "memory_limit.h"

namespace gsnake::bench {
namespace {

constexpr std::size_t kElements = 32;  // a round of the loop

// Sizes are known to the compiler: 32-bit words a round.
template <std::size_t kWords, bool kReads = true>
[[gnu::always_inline]] inline void change(std::uint32_t* __restrict data, const std::uint32_t* __restrict gradient, std::uint32_t mask,
                                          std::size_t ahead) {
  if (ahead != 0) {
    for (std::size_t line = 0; line < kWords; line += 16) __builtin_prefetch(data + line + ahead * kWords / kElements, 1);
  }
  for (std::size_t k = 0; k < kWords; ++k) data[k] = (kReads ? data[k] : 0U) + (gradient[k] & mask);
}

template <std::size_t kWeight, bool kReadsWeight, std::size_t kMaster, std::size_t kMoment0, std::size_t kMoment1>
[[gnu::always_inline]] inline void move(const Streams& streams, std::size_t elements, std::size_t ahead, std::uint32_t mask) {
  for (std::size_t round = 0; round < elements / kElements; ++round) {
    const std::uint32_t* gradient = streams.gradient + round * kElements;
    if (ahead != 0) {
      __builtin_prefetch(gradient + ahead);
      __builtin_prefetch(gradient + ahead + 16);
    }
    change<kWeight, kReadsWeight>(streams.weight.data + round * kWeight, gradient, mask, ahead);
    if constexpr (kMaster > 0) change<kMaster>(streams.master.data + round * kMaster, gradient, mask, ahead);
    change<kMoment0>(streams.moments[0].data + round * kMoment0, gradient, mask, ahead);
    if constexpr (kMoment1 > 0) change<kMoment1>(streams.moments[1].data + round * kMoment1, gradient, mask, ahead);
  }
}

template <std::size_t kMoment0, std::size_t kMoment1>
[[gnu::always_inline]] inline void move_with(const Streams& streams, std::size_t elements, std::size_t ahead, std::uint32_t mask) {
  if (!streams.reads_weight)
    move<16, false, 32, kMoment0, kMoment1>(streams, elements, ahead, mask);
  else if (streams.master.element_bytes == 2)
    move<16, true, 16, kMoment0, kMoment1>(streams, elements, ahead, mask);
  else
    move<32, true, 0, kMoment0, kMoment1>(streams, elements, ahead, mask);
}

// Written once, compiled for each width of vectors: a build for the oldest x86 would hold the limit down.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif
void move_all(const Streams& streams, std::size_t elements, std::size_t ahead, std::uint32_t mask) {
  const bool two = streams.moments[1].element_bytes != 0;
  if (streams.moments[0].element_bytes == 4 && two)
    move_with<32, 32>(streams, elements, ahead, mask);
  else if (streams.moments[0].element_bytes == 4)
    move_with<32, 0>(streams, elements, ahead, mask);
  else if (two)
    move_with<16, 16>(streams, elements, ahead, mask);
  else
    move_with<16, 0>(streams, elements, ahead, mask);
}

// Zero, but not for the compiler: what is added to the arrays must not be optimised away, nor change them.
volatile std::uint32_t opaque_zero = 0;

}  // namespace

void move_bytes(const Streams& streams, std::size_t elements, std::size_t ahead) { move_all(streams, elements, ahead, opaque_zero); }

}  // namespace gsnake::bench
