// Arrays that a kernel is given, and orders that its threads run in.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "greedysnake/choices.h"
#include "kernels/host/simt.h"
#include "optim/formats.h"
#include "sweep.h"

namespace gsnake::kernels {

// ThreadSanitizer follows each thread of a launch: shapes are smaller there.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// `count` elements that begin `offset` elements past a boundary of 64 bytes, each 0 at first. Fails the test if anything around them is written.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count, std::int64_t offset = 0) : count_(count) {
    const std::size_t room = static_cast<std::size_t>(count + offset) * sizeof(T);
    storage_.resize(room + 3 * kGuard);
    const std::size_t past_boundary = reinterpret_cast<std::uintptr_t>(storage_.data()) % kGuard;
    begin_ = 2 * kGuard - past_boundary + static_cast<std::size_t>(offset) * sizeof(T);
    for (std::size_t i = 0; i < storage_.size(); ++i) storage_[i] = inside(i) ? 0 : kFill;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if (inside(i) || storage_[i] == kFill) continue;
      ADD_FAILURE() << "written " << (i < begin_ ? "before" : "beyond") << " an array of " << count_;
      break;
    }
  }

  [[nodiscard]] T* data() { return reinterpret_cast<T*>(storage_.data() + begin_); }
  [[nodiscard]] const T* data() const { return reinterpret_cast<const T*>(storage_.data() + begin_); }
  [[nodiscard]] std::int64_t size() const { return count_; }
  T& operator[](std::int64_t i) { return data()[i]; }
  const T& operator[](std::int64_t i) const { return data()[i]; }
  [[nodiscard]] std::vector<unsigned char> bytes() const {
    const auto* first = storage_.data() + begin_;
    return {first, first + static_cast<std::size_t>(count_) * sizeof(T)};
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kFill = 0xa5;

  [[nodiscard]] bool inside(std::size_t i) const { return i >= begin_ && i < begin_ + static_cast<std::size_t>(count_) * sizeof(T); }

  std::int64_t count_;
  std::size_t begin_ = 0;
  std::vector<unsigned char> storage_;
};

// The bf16 or fp16 nearest to a value, and what one is worth.
inline std::uint16_t nearest_half(Dtype dtype, double value) {
  const auto single = static_cast<float>(value);
  std::uint16_t half = 0;
  if (dtype == Dtype::fp16) {
    optim::to_fp16({&single, 1}, {&half, 1}, optim::Target::scalar);
    return half;
  }
  const auto bits = std::bit_cast<std::uint32_t>(single);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}
inline double half_value(Dtype dtype, std::uint16_t half) {
  float wide = 0;
  optim::widen(dtype, {&half, 1}, {&wide, 1}, optim::Target::scalar);
  return wide;
}

// Elements of one of the three types, read and set as doubles.
class Array {
 public:
  Array(Dtype dtype, std::int64_t count, std::int64_t offset = 0)
      : dtype_(dtype), count_(count), singles_(dtype == Dtype::fp32 ? count : 0, offset), halves_(dtype == Dtype::fp32 ? 0 : count, offset) {}

  [[nodiscard]] void* data() { return dtype_ == Dtype::fp32 ? static_cast<void*>(singles_.data()) : halves_.data(); }
  [[nodiscard]] std::int64_t size() const { return count_; }
  [[nodiscard]] double operator[](std::int64_t i) const { return dtype_ == Dtype::fp32 ? singles_[i] : half_value(dtype_, halves_[i]); }
  void set(std::int64_t i, double value) {
    if (dtype_ == Dtype::fp32) {
      singles_[i] = static_cast<float>(value);
    } else {
      halves_[i] = nearest_half(dtype_, value);
    }
  }
  [[nodiscard]] double rounded(double value) const {
    return dtype_ == Dtype::fp32 ? static_cast<float>(value) : half_value(dtype_, nearest_half(dtype_, value));
  }
  template <class Random>
  void fill(Random& random, double spread = 1.0) {
    std::normal_distribution<double> normal(0.0, spread);
    for (std::int64_t i = 0; i < count_; ++i) set(i, normal(random));
  }
  void copy_from(const Array& other) {
    for (std::int64_t i = 0; i < count_; ++i) set(i, other[i]);
  }
  [[nodiscard]] std::vector<unsigned char> bytes() const { return dtype_ == Dtype::fp32 ? singles_.bytes() : halves_.bytes(); }

 private:
  Dtype dtype_;
  std::int64_t count_;
  Buffer<float> singles_;
  Buffer<std::uint16_t> halves_;
};

inline constexpr Dtype kDtypes[] = {Dtype::fp32, Dtype::bf16, Dtype::fp16};

// Half a unit in the last place of 1, relative.
inline double rounding_of(Dtype dtype) { return dtype == Dtype::fp32 ? 0x1p-24 : dtype == Dtype::bf16 ? 0x1p-8 : 0x1p-11; }

// Within one rounding to the type of what fp32 arithmetic on values of about `scale` can be off by.
inline void expect_close(const Array& got, Dtype dtype, std::int64_t i, double want, double scale) {
  const double allowed = 1.01 * rounding_of(dtype) * std::fabs(want) + 2e-6 * scale + (dtype == Dtype::fp16 ? 0x1p-25 : 0.0);
  EXPECT_LE(std::fabs(got[i] - want), allowed) << word_of(dtype) << ", element " << i << ": " << got[i] << " for " << want;
}

// Calls body() under several orders of threads and blocks and sizes of grids; every call must return the same bytes.
template <class Body>
void expect_same_in_every_order(Body body) {
  std::vector<unsigned char> first;
  const int seeds = test::sweep(kThreadSanitizer ? 2 : 3, 12);
  for (int seed = 1; seed <= seeds; ++seed) {
    simt::set_seed(static_cast<std::uint64_t>(seed));
    simt::set_max_blocks(seed == 1 ? 0 : seed == 2 ? 1 : static_cast<unsigned>(seed));
    const std::vector<unsigned char> bytes = body();
    if (seed == 1) first = bytes;
    EXPECT_TRUE(bytes == first) << "with seed " << seed << " the result is another one";
  }
  simt::set_max_blocks(0);
}

}  // namespace gsnake::kernels
