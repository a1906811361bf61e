#include "greedysnake/unit.h"

namespace gsnake {

torch::Tensor HeadUnit::loss_sum(const torch::Tensor& hidden, const torch::Tensor& labels) {
  return torch::cross_entropy_loss(logits(hidden).to(torch::kFloat32), labels, /*weight=*/{}, at::Reduction::Sum, kIgnoredLabel);
}

}  // namespace gsnake
