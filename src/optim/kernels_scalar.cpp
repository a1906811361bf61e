// The recurrences in plain C++: the reference. Compiled without contraction (CMakeLists.txt), so only std::fma fuses.
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "optim/bits.h"
#include "optim/kernels.h"

namespace gsnake::optim {
namespace {

template <class T>
T load(const std::byte* array, std::size_t i) {
  T value;
  std::memcpy(&value, array + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void store(std::byte* array, std::size_t i, T value) {
  std::memcpy(array + i * sizeof(T), &value, sizeof(T));
}

template <WeightFormat W>
float load_master(const Piece& piece, std::size_t i) {
  if constexpr (W == WeightFormat::fp32) return load<float>(piece.weight, i);
  if constexpr (W == WeightFormat::fp16) return load<float>(piece.master, i);
  return std::bit_cast<float>(join_bits(load<std::uint16_t>(piece.weight, i), load<std::uint16_t>(piece.master, i)));
}

template <WeightFormat W>
void store_master(const Piece& piece, std::size_t i, float master) {
  const auto bits = std::bit_cast<std::uint32_t>(master);
  if constexpr (W == WeightFormat::fp32) {
    store(piece.weight, i, master);
  } else if constexpr (W == WeightFormat::bf16) {
    store(piece.weight, i, split_weight(bits));
    store(piece.master, i, split_remainder(bits));
  } else {
    store(piece.weight, i, round_fp16(bits));
    store(piece.master, i, master);
  }
}

template <MomentFormat M>
float load_moment(const std::byte* array, std::size_t i) {
  if constexpr (M == MomentFormat::fp32) return load<float>(array, i);
  return std::bit_cast<float>(widen_bf16(load<std::uint16_t>(array, i)));
}

template <MomentFormat M>
void store_moment(std::byte* array, std::size_t i, float moment) {
  if constexpr (M == MomentFormat::fp32) {
    store(array, i, moment);
  } else {
    store(array, i, round_bf16(std::bit_cast<std::uint32_t>(moment)));
  }
}

// One element: `w`, `m` and `v` are replaced by what they become.
template <UpdateRule R>
void advance(const RuleStep& step, float decay, float g, float& w, float& m, float& v) {
  if constexpr (R == UpdateRule::adam || R == UpdateRule::sgd) g = std::fma(decay, w, g);
  if constexpr (R == UpdateRule::adamw || R == UpdateRule::adam) {
    m = std::fma(step.one_minus_beta1, g - m, m);
    v = std::fma(step.one_minus_beta2 * g, g, step.beta2 * v);
    const float denominator = std::fma(std::sqrt(v), step.inverse_sqrt_correction2, step.epsilon);
    const float kept = R == UpdateRule::adamw ? w * decay : w;
    w = std::fma(-step.step_size, m / denominator, kept);
  } else if constexpr (R == UpdateRule::lion) {
    const float c = std::fma(step.one_minus_beta1, g - m, m);
    const float sign = std::fabs(c) > 0.0F ? std::copysign(1.0F, c) : c;  // a NaN stays one, and is noticed in the weight
    w = std::fma(-step.step_size, sign, w * decay);
    m = std::fma(step.one_minus_beta2, g - m, m);
  } else {
    m = std::fma(step.beta1, m, g);
    w = std::fma(-step.step_size, m, w);
  }
}

template <UpdateRule R, WeightFormat W, MomentFormat M>
std::uint32_t update(const RuleStep& step, float decay, const Piece& piece) {
  constexpr bool kSecondMoment = R == UpdateRule::adamw || R == UpdateRule::adam;
  std::uint32_t greatest = 0;
  if (piece.sums != nullptr) add_some_squares(piece.gradient, piece.count, piece.first_lane, *piece.sums);
  for (std::size_t i = 0; i < piece.count; ++i) {
    float w = load_master<W>(piece, i);
    float m = load_moment<M>(piece.state0, i);
    float v = kSecondMoment ? load_moment<M>(piece.state1, i) : 0.0F;
    advance<R>(step, decay, piece.gradient[i] * step.gradient_factor, w, m, v);
    store_moment<M>(piece.state0, i, m);
    if constexpr (kSecondMoment) store_moment<M>(piece.state1, i, v);
    store_master<W>(piece, i, w);
    greatest = std::max(greatest, std::bit_cast<std::uint32_t>(w) & kMagnitude);
  }
  return greatest;
}

template <std::size_t... Index>
constexpr UpdateKernels make_updates(std::index_sequence<Index...> /*all*/) {
  return {update<rule_at(Index), weights_at(Index), moments_at(Index)>...};
}

void add_squares(const float* gradient, std::size_t count, SumLanes& lanes) { add_some_squares(gradient, count, 0, lanes); }

void add_in_place(float* destination, const float* source, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) destination[i] += source[i];
}

void split_master(const float* master, std::uint16_t* weight, std::int16_t* remainder, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(master[i]);
    weight[i] = split_weight(bits);
    remainder[i] = static_cast<std::int16_t>(split_remainder(bits));
  }
}

void join_master(const std::uint16_t* weight, const std::int16_t* remainder, float* master, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    master[i] = std::bit_cast<float>(join_bits(weight[i], static_cast<std::uint16_t>(remainder[i])));
  }
}

void to_fp16(const float* master, std::uint16_t* weight, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) weight[i] = round_fp16(std::bit_cast<std::uint32_t>(master[i]));
}

void widen_bf16s(const std::uint16_t* weight, float* wide, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) wide[i] = std::bit_cast<float>(widen_bf16(weight[i]));
}

void widen_fp16s(const std::uint16_t* weight, float* wide, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) wide[i] = std::bit_cast<float>(widen_fp16(weight[i]));
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels kKernels{"scalar",     make_updates(std::make_index_sequence<std::tuple_size_v<UpdateKernels>>()),
                                    add_squares,  add_in_place,
                                    split_master, join_master,
                                    to_fp16,      widen_bf16s,
                                    widen_fp16s};
  return kKernels;
}

}  // namespace gsnake::optim
