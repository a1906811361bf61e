// What an optimizer's update reads and writes, made up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "optim/optimizer.h"

namespace gsnake::measure {

// Bytes that an update reads, and that it writes, an element.
struct UpdateBytes {
  std::uint64_t read = 0;
  std::uint64_t written = 0;
  [[nodiscard]] std::uint64_t all() const noexcept { return read + written; }
};
UpdateBytes update_bytes(const optim::Optimizer& optimizer);

// Memory on huge pages where the kernel has them, as the library's arenas are; its pages are those of whoever touches them first.
class HugeArray {
 public:
  explicit HugeArray(std::size_t bytes);
  [[nodiscard]] std::byte* data() const noexcept { return data_.get(); }  // null for no bytes

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
};

// The arrays of one object, in one format; a multiple of optim::kNormBlock elements. Disjoint ranges may be used by several threads.
class UpdateArrays {
 public:
  UpdateArrays(const optim::Optimizer& optimizer, std::uint64_t elements);

  [[nodiscard]] std::uint64_t elements() const noexcept { return elements_; }
  // Of [begin, end), both multiples of optim::kNormBlock. `norm`: with partials.
  [[nodiscard]] optim::UpdateChunk chunk(std::uint64_t begin, std::uint64_t end, bool norm) const;
  // Zeros and small positive gradients: after any number of updates nothing is denormal, infinite or the root of a negative number.
  void fill(std::uint64_t begin, std::uint64_t end);

 private:
  std::uint64_t elements_;
  optim::WeightFormat format_;
  std::vector<std::uint64_t> states_;
  HugeArray weight_, master_, state0_, state1_, gradient_;
  mutable std::vector<double> partials_;
};

}  // namespace gsnake::measure
