#include "model/preference.h"

#include <algorithm>
#include <cmath>

#include "model/unit_context.h"

namespace gsnake::model {
namespace {

// A row's hidden states and labels, chunk by chunk; `body(x, labels, first)` gets (n, hidden) in the compute dtype.
template <typename Body>
void for_each_chunk(const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass, Body&& body) {
  for (std::int64_t first = 0; first < labels.size(0); first += pass.chunk_tokens) {
    const std::int64_t count = std::min(pass.chunk_tokens, labels.size(0) - first);
    body(hidden.narrow(0, first, count).to(pass.compute), labels.narrow(0, first, count), first);
  }
}

// A double of no dimension.
torch::Tensor log_probability(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass) {
  torch::Tensor sum = torch::zeros({}, labels.options().dtype(torch::kFloat64));
  for_each_chunk(hidden, labels, pass, [&](const torch::Tensor& x, const torch::Tensor& chunk, std::int64_t) { sum.sub_(head.loss_sum(x, chunk)); });
  return sum;
}

// The model without its adapters, and without dropout.
class AsReference {
 public:
  explicit AsReference(HeadUnit& head) : head_(head), training_(head.is_training()), adapters_(unit_context().adapters) {
    unit_context().adapters = false;
    head_.eval();
  }
  ~AsReference() {
    unit_context().adapters = adapters_;
    head_.train(training_);
  }
  AsReference(const AsReference&) = delete;
  AsReference& operator=(const AsReference&) = delete;

 private:
  HeadUnit& head_;
  const bool training_;
  const bool adapters_;
};

torch::Tensor reference_log_probability(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass) {
  const AsReference reference(head);
  return log_probability(head, hidden, labels, pass);
}

// (pairs, 2), doubles: what the log probability of each answer has gained on the reference's. 0 in pairs that do not count.
torch::Tensor gains_of(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const torch::Tensor& counted, const HeadPass& pass) {
  const std::int64_t rows = labels.size(0);
  torch::Tensor gains = torch::zeros({rows / 2, 2}, labels.options().dtype(torch::kFloat64));
  for (std::int64_t row = 0; row < rows; ++row) {
    if (labels.is_cpu() && !counted[row / 2].item<bool>()) continue;  // spares the work; asking a device would wait for it
    gains[row / 2][row % 2].copy_(log_probability(head, hidden[row], labels[row], pass) - reference_log_probability(head, hidden[rows + row], labels[row], pass));
  }
  return torch::where(counted.unsqueeze(1), gains, 0.0);
}

// A pair's loss is log(1 + e^x) with x = -beta (preferred gain - other gain). Returned is, by pair, its slope by the preferred answer's log
// probability, a double; the other's is that negated. Pairs that do not count have gains of 0.
torch::Tensor judge_on_host(const torch::Tensor& gains, const torch::Tensor& counted, const Preference& preference, torch::Tensor& results) {
  torch::Tensor slopes = torch::zeros_like(counted, torch::kFloat64);
  const auto gain = gains.accessor<double, 2>();
  const auto counts = counted.accessor<bool, 1>();
  auto slope = slopes.accessor<double, 1>();
  auto result = results.accessor<double, 1>();
  results.zero_();
  for (std::int64_t pair = 0; pair < counts.size(0); ++pair) {
    if (!counts[pair]) continue;
    const double x = -preference.beta * (gain[pair][0] - gain[pair][1]);
    slope[pair] = -preference.beta / (1.0 + std::exp(-x));
    result[0] += std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    result[1] += preference.beta * gain[pair][0];
    result[2] += preference.beta * gain[pair][1];
    result[3] += gain[pair][0] > gain[pair][1] ? 1.0 : 0.0;
  }
  result[0] *= static_cast<double>(preference.pass.scale);
  return slopes;
}

// The same by the device's own operations.
torch::Tensor judge_on_device(const torch::Tensor& gains, const torch::Tensor& counted, const Preference& preference, torch::Tensor& results) {
  const torch::Tensor chosen = gains.select(1, 0);
  const torch::Tensor rejected = gains.select(1, 1);
  const torch::Tensor x = (chosen - rejected) * -preference.beta;
  const torch::Tensor losses = torch::where(counted, x.clamp_min(0.0) + x.abs().neg().exp().log1p(), 0.0);
  results.copy_(torch::stack({losses.sum() * static_cast<double>(preference.pass.scale), chosen.sum() * preference.beta, rejected.sum() * preference.beta,
                              chosen.gt(rejected).sum(torch::kFloat64)}));
  return torch::where(counted, x.sigmoid() * -preference.beta, 0.0);
}

torch::Tensor judge(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference, torch::Tensor& results) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor counted = labels.ne(kIgnoredLabel).view({labels.size(0) / 2, -1}).any(1);
  const torch::Tensor gains = gains_of(head, hidden, labels, counted, preference.pass);
  return labels.is_cpu() ? judge_on_host(gains, counted, preference, results) : judge_on_device(gains, counted, preference, results);
}

}  // namespace

void preference_loss(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference, torch::Tensor& results) {
  judge(head, hidden, labels, preference, results);
}

void preference_forward_backward(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference,
                                 torch::Tensor* grad_hidden, torch::Tensor& results) {
  const torch::Tensor slopes = judge(head, hidden, labels, preference, results);
  // Of loss_sum, which is the log probability negated.
  const torch::Tensor factors = (torch::stack({slopes.neg(), slopes}, 1) * static_cast<double>(preference.pass.scale)).to(torch::kFloat32);
  if (grad_hidden != nullptr) grad_hidden->zero_();
  const torch::AutoGradMode with_grad(true);
  for (std::int64_t row = 0; row < labels.size(0); ++row) {
    if (labels.is_cpu() && slopes[row / 2].item<double>() == 0.0) continue;
    const torch::Tensor factor = factors[row / 2][row % 2];
    for_each_chunk(hidden[row], labels[row], preference.pass, [&](const torch::Tensor& chunk, const torch::Tensor& chunk_labels, std::int64_t first) {
      const torch::Tensor x = chunk.detach().requires_grad_(grad_hidden != nullptr);
      const torch::Tensor part = head.loss_sum(x, chunk_labels) * factor;
      part.backward(torch::full_like(part, preference.pass.loss_scale));
      const torch::NoGradGuard no_grad;
      if (grad_hidden != nullptr) (*grad_hidden)[row].narrow(0, first, chunk_labels.size(0)).copy_(x.grad());
    });
  }
}

}  // namespace gsnake::model
