// What generation has to agree with: a run's model computed over whole texts, without a cache, through its modules' forward() and nothing else of the product.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "greedysnake/greedysnake.h"

namespace gsnake::test {

class WholePrefix {
 public:
  // The trainer's weights as they are now; copied. Of a 16-bit run hidden states are rounded between units as there.
  WholePrefix(Model model, const Config& config, Trainer& trainer);
  // (tokens, vocab), fp32: what follows each token.
  torch::Tensor logits(const std::vector<std::int64_t>& tokens);
  // By how much, at the most, the logit of an added token is below the highest one.
  double worst_gap(const std::vector<std::int64_t>& prompt, const std::vector<std::int64_t>& added);

 private:
  void bind(std::size_t unit);

  Model model_;
  at::ScalarType dtype_;
  std::vector<std::vector<torch::Tensor>> weights_;  // by unit, in the order of parameters
};

}  // namespace gsnake::test
