#include "model/preference.h"

#include <algorithm>
#include <cmath>
#include <vector>

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

double log_probability(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass) {
  double sum = 0.0;
  for_each_chunk(hidden, labels, pass, [&](const torch::Tensor& x, const torch::Tensor& chunk, std::int64_t) { sum -= static_cast<double>(head.loss_sum(x, chunk).item<float>()); });
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

double reference_log_probability(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass) {
  const AsReference reference(head);
  return log_probability(head, hidden, labels, pass);
}

// By pair: its loss, and what the loss' gradient by the preferred answer's log probability is, which is the other's negated.
struct Judged {
  double loss = 0.0;
  double slope = 0.0;
};

std::vector<Judged> judge(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference) {
  const torch::NoGradGuard no_grad;
  const std::int64_t rows = labels.size(0);
  std::vector<Judged> pairs(static_cast<std::size_t>(rows / 2));
  for (std::int64_t pair = 0; pair < rows / 2; ++pair) {
    if (labels.narrow(0, 2 * pair, 2).eq(kIgnoredLabel).all().item<bool>()) continue;
    double margin = 0.0;
    for (const std::int64_t row : {2 * pair, 2 * pair + 1}) {
      const double gain = log_probability(head, hidden[row], labels[row], preference.pass) - reference_log_probability(head, hidden[rows + row], labels[row], preference.pass);
      margin += row % 2 == 0 ? gain : -gain;
    }
    const double x = -preference.beta * margin;  // -log sigmoid(-x) = log(1 + e^x)
    pairs[static_cast<std::size_t>(pair)] = {std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))), -preference.beta / (1.0 + std::exp(-x))};
  }
  return pairs;
}

double sum_of(const std::vector<Judged>& pairs) {
  double sum = 0.0;
  for (const Judged& pair : pairs) sum += pair.loss;
  return sum;
}

}  // namespace

void preference_loss(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference, torch::Tensor& loss) {
  loss.fill_(sum_of(judge(head, hidden, labels, preference)) * static_cast<double>(preference.pass.scale));
}

void preference_forward_backward(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const Preference& preference,
                                 torch::Tensor* grad_hidden, torch::Tensor& loss) {
  const std::vector<Judged> pairs = judge(head, hidden, labels, preference);
  loss.fill_(sum_of(pairs) * static_cast<double>(preference.pass.scale));
  if (grad_hidden != nullptr) grad_hidden->zero_();
  const torch::AutoGradMode with_grad(true);
  for (std::int64_t row = 0; row < labels.size(0); ++row) {
    const double slope = pairs[static_cast<std::size_t>(row / 2)].slope * (row % 2 == 0 ? 1.0 : -1.0);
    if (slope == 0.0) continue;
    // loss_sum is the log probability negated.
    const auto factor = static_cast<float>(-slope * static_cast<double>(preference.pass.scale));
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
