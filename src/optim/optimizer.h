// What the runtime asks of an optimizer: how much state an element has, and a step over one chunk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/choices.h"
#include "optim/formats.h"
#include "optim/norm.h"

namespace gsnake::optim {

inline constexpr std::size_t kMaxStates = 3;

// What an update needs to know of its step; the same for every element.
struct StepScalars {
  double learning_rate = 0.0;
  std::int64_t updates = 0;      // counted from 1; skipped steps do not count
  float gradient_factor = 1.0F;  // multiplies every gradient element first: the clip factor, or one over the loss scale, or both
};

// A run of elements [begin, end) inside an object that either decays or does not; an object's runs are sorted and do not overlap.
struct DecayRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool decays = false;
};

// One chunk of one object in host memory, updated in place. Any number of elements, any alignment that the types have; multiples of
// kNormBlock elements and 64-byte alignment are fastest. No two arrays overlap. Elements that no run covers (padding) do not decay; padding
// that is zero everywhere stays zero (adam and adamw: if epsilon > 0).
struct UpdateChunk {
  std::byte* weight = nullptr;                  // the compute weights; of fp16 ones what stood there is not read
  std::byte* master = nullptr;                  // bf16: the remainders; fp16: the master weights; fp32: null
  std::array<std::byte*, kMaxStates> states{};  // as many as state_bytes() has
  const float* gradient = nullptr;
  std::uint64_t elements = 0;
  std::uint64_t first_element = 0;  // of the object: where `runs` starts to apply
  std::span<const DecayRun> runs;   // of the whole object
  // If set: receives what square_sums() gives for `gradient` (before the gradient factor), elements / kNormBlock values, in the same pass
  // over memory. `elements` is then a multiple of kNormBlock.
  double* partials = nullptr;
};

// Stateless: moments and counters are the caller's. Thread-safe on disjoint chunks; update() and restore_weight() never allocate. How an
// object is cut into chunks, and the target, do not change a bit (docs/optimizer.md has the order of operations). Expects the default
// floating-point environment: round to nearest, denormals kept.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  [[nodiscard]] virtual WeightFormat weight_format() const = 0;
  [[nodiscard]] virtual std::vector<std::uint64_t> state_bytes() const = 0;  // per element, of each state; the master is not among them
  // False: a new master weight is not storable() in the weight's format (not finite, or so large that the bf16 or fp16 would not be). The
  // chunk's content is then unusable and the caller ends the run; `partials` are valid. Throws Error(usage) for a chunk that lacks an
  // array, or whose partials do not fit its elements.
  [[nodiscard]] virtual bool update(const StepScalars& scalars, const UpdateChunk& chunk) const = 0;
  // Recomputes `weight` from `master` where the weight is derived (fp16); nothing otherwise: what a skipped step does in place of an
  // update.
  virtual void restore_weight(const UpdateChunk& chunk) const = 0;
};

struct OptimizerSpec {
  UpdateRule rule = UpdateRule::adamw;
  double beta1 = 0.9;         // [0, 1)
  double beta2 = 0.95;        // [0, 1); unused by sgd
  double epsilon = 1e-8;      // >= 0; unused by lion and sgd
  double weight_decay = 0.1;  // >= 0
  WeightFormat weights = WeightFormat::fp32;
  MomentFormat moments = MomentFormat::fp32;
};

// Throws Error(usage) for a rule that is none and for a hyperparameter out of its range.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec, Target target = Target::best);

}  // namespace gsnake::optim
