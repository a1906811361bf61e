// Loops that are compiled for several instruction sets: which of them this CPU can run, and which one runs.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "greedysnake/error.h"

namespace gsnake::core {

// A table holds the loops of one instruction set, and its `name`. Thread-safe; lives as long as the program.
template <typename Table>
class SimdTables {
 public:
  struct Candidate {
    std::int64_t target = 0;           // Highway's
    const Table* (*table)() = nullptr;  // null, or returning null: not compiled, or of no use
  };

  // Candidates best first; `supported`: the targets that this CPU has.
  template <std::size_t Count>
  SimdTables(const Table& scalar, const std::array<Candidate, Count>& candidates, std::int64_t supported) : scalar_(scalar) {
    static_assert(Count <= kMost);
    for (const Candidate& candidate : candidates) {
      const Table* table = (supported & candidate.target) != 0 && candidate.table != nullptr ? candidate.table() : nullptr;
      if (table != nullptr) simd_[count_++] = table;
    }
  }

  [[nodiscard]] const Table& scalar() const { return scalar_; }
  // What was forced, or the best one.
  [[nodiscard]] const Table& chosen() const {
    if (const Table* table = forced_.load(std::memory_order_relaxed)) return *table;
    return count_ == 0 ? scalar_ : *simd_[0];
  }
  // Best first, the scalar one last.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count_; ++i) names.emplace_back(simd_[i]->name);
    names.emplace_back(scalar_.name);
    return names;
  }
  // For the whole process (tests, benchmarks); an empty name: the best one again. Throws Error(usage) for a name that names() lacks.
  void force(const std::string& name) {
    const Table* found = name == scalar_.name ? &scalar_ : nullptr;
    for (std::size_t i = 0; i < count_; ++i) {
      if (name == simd_[i]->name) found = simd_[i];
    }
    if (found == nullptr && !name.empty()) {
      std::string known;
      for (const std::string& target : names()) known += (known.empty() ? "" : ", ") + target;
      throw Error(ErrorKind::usage, "SIMD target \"" + name + "\" cannot run on this CPU or is unknown; choose one of " + known);
    }
    forced_.store(found, std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kMost = 16;

  const Table& scalar_;
  std::array<const Table*, kMost> simd_{};
  std::size_t count_ = 0;
  std::atomic<const Table*> forced_{nullptr};
};

}  // namespace gsnake::core

// The candidates for which Highway compiled `function`, best first as it ranks them; one that needs no dispatch (the compiler's own baseline) is
// among them. Where <hwy/highway.h> is included, in a file that foreach_target.h compiles.
#define GSNAKE_SIMD_CANDIDATES(Table, function)                                                                                          \
  std::to_array<gsnake::core::SimdTables<Table>::Candidate>({                                                                             \
      {HWY_AVX3_DL, HWY_CHOOSE_AVX3_DL(function)},                                                                                       \
      {HWY_AVX3, HWY_CHOOSE_AVX3(function)},                                                                                             \
      {HWY_AVX2, HWY_CHOOSE_AVX2(function)},                                                                                             \
      {HWY_SVE2_128, HWY_CHOOSE_SVE2_128(function)},                                                                                     \
      {HWY_SVE_256, HWY_CHOOSE_SVE_256(function)},                                                                                       \
      {HWY_SVE2, HWY_CHOOSE_SVE2(function)},                                                                                             \
      {HWY_SVE, HWY_CHOOSE_SVE(function)},                                                                                               \
      {HWY_NEON, HWY_CHOOSE_NEON(function)},                                                                                             \
      {HWY_RVV, HWY_CHOOSE_RVV(function)},                                                                                               \
  })
