// What the runtime asks of an optimizer: how much state an element has, and a step over one chunk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "optim/adamw.h"

namespace gsnake::optim {

inline constexpr std::size_t kMaxStates = 3;

// What an update needs to know of its step; the same for every element.
struct StepScalars {
  double learning_rate = 0.0;
  std::int64_t updates = 0;  // counted from 1; skipped steps do not count
};

// One chunk of one object in host memory, updated in place; 64-byte aligned.
struct UpdateChunk {
  std::byte* weight = nullptr;
  std::array<std::byte*, kMaxStates> states{};
  const float* gradient = nullptr;
  std::uint64_t elements = 0;
  std::uint64_t first_element = 0;  // of the object
  std::span<const DecayRun> runs;   // of the object
};

// Stateless: moments and counters are the caller's. Thread-safe on disjoint chunks; update() never allocates.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  [[nodiscard]] virtual std::vector<std::uint64_t> state_bytes() const = 0;  // per element, of each state
  virtual void update(const StepScalars& scalars, const UpdateChunk& chunk) const = 0;
};

std::unique_ptr<Optimizer> make_adamw(const AdamWHyper& hyper);

}  // namespace gsnake::optim
