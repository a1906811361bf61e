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
  float learning_rate = 0.0F;
  float beta1 = 0.9F;
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

// `t` counts updates from 1.
AdamWStep make_adamw_step(const AdamWHyper& hyper, double learning_rate, std::int64_t t);

// A run of elements inside an object that either decays or does not; runs are sorted and cover the object.
struct DecayRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool decays = false;
};

// One chunk of one object, updated in place. All spans have the same size, a multiple of kNormBlock; 64-byte aligned.
struct AdamWChunk {
  std::span<float> weight;   // master weight, which in fp32 training is the compute weight
  std::span<float> moment1;
  std::span<float> moment2;
  std::span<const float> gradient;
  std::uint64_t first_element = 0;        // of the object: where `runs` starts to apply
  std::span<const DecayRun> runs;         // of the whole object
};

enum class Target : std::uint8_t { best, scalar };

// The recurrence is in docs/optimizer.md. Thread-safe on disjoint spans; never allocates.
void adamw_update(const AdamWStep& step, const AdamWChunk& chunk, Target target = Target::best);

// Sums of squares of `gradient` in double, one per block of kNormBlock elements, into `partials` (size / kNormBlock values); the order inside a
// block is fixed (docs/optimizer.md), whatever the target. A non-finite element makes its block's sum non-finite.
void square_sums(std::span<const float> gradient, std::span<double> partials, Target target = Target::best);

// destination += source, element by element (fp32).
void add_in_place(std::span<float> destination, std::span<const float> source, Target target = Target::best);

// Names of the SIMD targets that this CPU can run, best first, "scalar" last; and a way to force one (tests, benchmarks): an empty
// name returns to run-time dispatch.
std::vector<std::string> supported_targets();
void force_target(const std::string& name);

}  // namespace gsnake::optim
