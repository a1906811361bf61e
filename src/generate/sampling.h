// The choice of a token from the logits that a model gives.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "greedysnake/generator.h"

namespace gsnake::generate {

// Of `logits` (vocab), fp32. The order of what narrows the choice: temperature, top_k, top_p.
std::int64_t sample(const torch::Tensor& logits, const SamplingOptions& options, at::Generator& generator);

}  // namespace gsnake::generate
