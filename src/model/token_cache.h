// A TokenCache over memory that the caller owns.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "greedysnake/cached_unit.h"

namespace gsnake::model {

// A text's tokens in a call.
struct CachedText {
  std::int64_t tokens = 0;
  std::int64_t past = 0;  // before them, whose keys and values are in `kept`
  torch::Tensor kept;     // (at least past + tokens, cached_numbers()), contiguous, in the compute dtype
};

class KeptTokens final : public TokenCache {
 public:
  // positions: int64, as long as all texts' tokens together, on their device.
  KeptTokens(torch::Tensor positions, std::int64_t most_positions) : positions_(std::move(positions)), most_positions_(most_positions) {}
  // Of the unit that is called next.
  std::vector<CachedText> texts;

  [[nodiscard]] const torch::Tensor& positions() const override { return positions_; }
  [[nodiscard]] std::int64_t most_positions() const override { return most_positions_; }
  torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, std::int64_t window) override;

 private:
  torch::Tensor positions_;
  std::int64_t most_positions_;
};

}  // namespace gsnake::model
