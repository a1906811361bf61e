// One optimizer update of a chunk on the GPU, with the bits of optim::Optimizer::update() (docs/optimizer.md): every rule, weight format and moment format.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

// What is the same for every element of a step: optim::RuleStep, member for member.
struct UpdateStep {
  float gradient_factor = 1.0F;
  float beta1 = 0.0F;
  float beta2 = 0.0F;
  float one_minus_beta1 = 0.0F;
  float one_minus_beta2 = 0.0F;
  float step_size = 0.0F;
  float inverse_sqrt_correction2 = 0.0F;
  float epsilon = 0.0F;
  float decay = 0.0F;
  float no_decay = 0.0F;
};

// A run of elements [begin, end) of an object that decay.
struct DecayingRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

struct UpdateRules {
  UpdateRule rule = UpdateRule::adamw;
  Dtype weights = Dtype::fp32;
  MomentFormat moments = MomentFormat::fp32;
};

// All pointers: device memory, aligned as their type is (arrays to 16 bytes: faster), no two overlapping. As optim::UpdateChunk, but for
// the runs, which here are those that decay alone.
struct UpdateArrays {
  void* weight = nullptr;            // fp32, bf16 or fp16, `elements` of them; of fp16 ones what stood there is not read
  void* master = nullptr;            // bf16: the int16 remainders; fp16: the fp32 masters; fp32: null
  void* first_moment = nullptr;      // fp32 or bf16
  void* second_moment = nullptr;     // the same; lion, sgd: null
  const float* gradient = nullptr;
  std::int64_t elements = 0;
  std::int64_t first_element = 0;    // of the object, from which the runs count
  const DecayingRun* runs = nullptr; // sorted, disjoint, of the whole object; read when the kernel runs
  int run_count = 0;
  double* partials = nullptr;        // if set: what square_sums() gives for the gradient, before its factor, in the same pass
  std::uint32_t* greatest = nullptr; // raised to the greatest magnitude among the new masters, as its bits (NaN is above all numbers); the caller zeroes it
};

// Updates the arrays in place, in stream order; returns what the launch returned, cudaErrorInvalidValue for an array that is missing. The new weights
// are fit to go on with where *greatest ends up below unstorable_magnitude().
cudaError_t update(const UpdateRules& rules, const UpdateStep& step, const UpdateArrays& arrays, cudaStream_t stream);

// The smallest bits of a magnitude that has no finite weight in a format (optim::storable()).
constexpr std::uint32_t unstorable_magnitude(Dtype weights) {
  return weights == Dtype::fp32 ? 0x7f800000U : weights == Dtype::bf16 ? 0x7f7f8000U : 0x477ff000U;
}

}  // namespace gsnake::kernels
