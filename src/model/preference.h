// Direct preference optimization: what a head does of pairs of answers (Rafailov et al., 2023).
#pragma once

#include <torch/torch.h>

#include "greedysnake/unit.h"
#include "model/unit_ops.h"

namespace gsnake::model {

// Hidden states of so many rows as the labels have, and after them the reference's of the same rows: pairs, the preferred answer first. A row's log
// probability p is that of its counted labels. A pair's loss is -log sigmoid(beta ((p - p') - (r - r'))) of model p and reference r; one without
// any counted label counts nothing. `results`, four doubles, become: the losses' sum times pass.scale; the sums of the rewards, which are
// beta (p - p'), of the preferred answers and of the others; how many pairs' preferred answer has the higher one. No call waits for a device,
// so that there pairs without counted labels are computed as well: their gradients are multiplied by 0, and a value that is not finite shows.
struct Preference {
  double beta = 0.1;
  HeadPass pass;
};

// hidden (2 x rows, tokens, hidden), labels (rows, tokens).
void preference_loss(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference, torch::Tensor& results);
// Gradients of the head's parameters are added to; of the hidden states that of the reference is zero. grad_hidden may be null.
void preference_forward_backward(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference,
                                 torch::Tensor* grad_hidden, torch::Tensor& results);

}  // namespace gsnake::model
