// AdamW on spans of fp32: a scalar reference and SIMD kernels with run-time dispatch, equal to one another bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gsnake::optim {

// Norm partials are taken over blocks of this many elements, so that a sum does not depend on how an object is cut into chunks.
inline constexpr std::size_t kNormBlock = 2048;

// What is the same for every element of one step. Derived in double, rounded to float once.
struct AdamWStep {
  float learning_rate = 0.0F;  // for reports: the recurrence uses step_size and decay_factor
  float beta1 = 0.9F;          // for reports: the recurrence uses one_minus_beta1
  float beta2 = 0.95F;
  float one_minus_beta1 = 0.1F;
  float one_minus_beta2 = 0.05F;
  float step_size = 0.0F;              // learning_rate / (1 - beta1^t)
  float inverse_sqrt_correction2 = 0;  // 1 / sqrt(1 - beta2^t)
  float epsilon = 1e-8F;
  float decay_factor = 1.0F;  // 1 - learning_rate * weight_decay, for the elements that decay
};

struct AdamWHyper {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

// `t` counts updates from 1 (skipped steps do not count).
AdamWStep make_adamw_step(const AdamWHyper& hyper, double learning_rate, std::int64_t t);

// A run of elements [begin, end) inside an object that either decays or does not; an object's runs are sorted and do not overlap.
struct DecayRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool decays = false;
};

// One chunk of one object, updated in place. All spans have the same size (any; multiples of 16 elements and 64-byte alignment are fastest)
// and do not overlap. Elements that no run covers (padding) do not decay; padding that is zero everywhere stays zero, if epsilon > 0.
struct AdamWChunk {
  std::span<float> weight;  // master weight, which in fp32 training is the compute weight
  std::span<float> moment1;
  std::span<float> moment2;
  std::span<const float> gradient;
  std::uint64_t first_element = 0;  // of the object: where `runs` starts to apply
  std::span<const DecayRun> runs;   // of the whole object
};

enum class Target : std::uint8_t { best, scalar };

// The recurrence is in docs/optimizer.md: arXiv 1711.05101 (decoupled decay) with the bias correction of 1412.6980, in the form of
// torch.optim.AdamW. How an object is cut into chunks does not change a bit. Expects the default floating-point environment (round to
// nearest, denormals kept). Thread-safe on disjoint spans; never allocates. Throws Error(usage) when the sizes differ.
void adamw_update(const AdamWStep& step, const AdamWChunk& chunk, Target target = Target::best);

// Sums of squares of `gradient` in double, one per block of kNormBlock elements, into `partials` (size / kNormBlock values); the order
// inside a block is fixed (docs/optimizer.md), whatever the target. A non-finite element, and nothing else, makes its block's sum
// non-finite. Never allocates. Throws Error(usage) when gradient.size() != partials.size() * kNormBlock.
void square_sums(std::span<const float> gradient, std::span<double> partials, Target target = Target::best);

// destination += source, element by element (fp32); any size, no overlap. Never allocates. Throws Error(usage) when the sizes differ.
void add_in_place(std::span<float> destination, std::span<const float> source, Target target = Target::best);

// Names of the targets that this CPU can run, best first, "scalar" last. SIMD targets without native fused multiply-add are left out.
std::vector<std::string> supported_targets();
// Makes Target::best mean the named one, for the whole process (tests, benchmarks); an empty name returns to run-time dispatch. Throws
// Error(usage) for a name that supported_targets() lacks.
void force_target(const std::string& name);

}  // namespace gsnake::optim
