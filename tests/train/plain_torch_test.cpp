// The product beside whole models in plain torch operations and torch::optim::AdamW, which share no code with it: they agree to rounding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <string>

#include "reference/plain_model.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;  // by unit and name

constexpr std::int64_t kSteps = 20;
constexpr std::int64_t kBatches = 5;

// The tensors in a unit's flat vector.
void add_tensors(Tensors& tensors, const reference::ReferenceLoop& layouts, std::int64_t unit, const std::vector<float>& flat) {
  const torch::Tensor whole = torch::tensor(flat);
  for (const optim::FlatParameter& parameter : layouts.layout(unit).parameters) {
    tensors[std::to_string(unit) + "." + parameter.info.name] =
        whole.narrow(0, static_cast<std::int64_t>(parameter.offset), static_cast<std::int64_t>(parameter.info.numel)).view(parameter.info.sizes).clone();
  }
}

// GPT-2's joint projection, taken apart: the gradients of queries and keys are far smaller than the values', and that of the keys' bias is zero
// but for rounding (softmax does not see it), of which Adam makes updates of full size.
void split_joint_projection(Tensors& tensors) {
  Tensors parts;
  for (const auto& [name, tensor] : tensors) {
    if (name.find("attn.c_attn.") == std::string::npos) continue;
    const auto thirds = tensor.chunk(3);
    parts[name + ".query"] = thirds[0];
    parts[name + ".key"] = thirds[1];
    parts[name + ".value"] = thirds[2];
  }
  std::erase_if(tensors, [](const auto& entry) { return entry.first.find("attn.c_attn.") != std::string::npos; });
  tensors.merge(parts);
}

bool has_no_gradient(const std::string& name) { return name.ends_with("attn.c_attn.bias.key"); }

// |a - b| / |b - start| of one tensor, over the elements of `of`.
double update_error(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& start, const torch::Tensor& of) {
  return ((a - b).masked_select(of).norm() / (b - start).norm()).item<double>();
}

// Adam divides a gradient by its own size: an element whose gradient happened to be next to zero in some step is moved by its rounding, in two
// correct programs differently. `seen` keeps those that stood clear of it in every step.
void note_clear_gradients(const reference::PlainModel& plain, Tensors& seen) {
  Tensors gradients;
  for (const auto& [name, parameter] : plain.parameters()) gradients[name] = parameter.grad();
  split_joint_projection(gradients);
  for (const auto& [name, gradient] : gradients) {
    const torch::Tensor size = gradient.abs();
    const torch::Tensor clear = size.gt(1e-3 * size.square().mean().sqrt()).logical_or(size.eq(0.0));  // a token that did not occur: exactly zero
    seen[name] = seen.contains(name) ? seen[name].logical_and(clear) : clear;
  }
}

struct Difference {
  double loss = 0.0;     // relative, the largest of all steps
  double weights = 0.0;  // of the update, the largest of all tensors
  std::string tensor;    // whose that is
};

Config config_of(const std::string& family, std::uint64_t seed, const TempFolder& folder) {
  Config config = small_config(family == "gpt2" ? small_gpt2() : small_llama(), kBatches, folder);
  config.model.dropout = 0.0;
  config.train.order = MicroBatchOrder::ascending;
  config.train.delay = 0.5;
  config.train.seed = seed;
  // Updates far above the rounding of a weight, but a first step, all sign and no size, that counts for little.
  config.optimizer.learning_rate = 3e-3;
  config.optimizer.warmup_steps = 10;
  return config;
}

reference::PlainOptimizer plain_optimizer(const OptimizerConfig& config) {
  reference::PlainOptimizer optimizer;
  optimizer.beta1 = config.beta1;
  optimizer.beta2 = config.beta2;
  optimizer.epsilon = config.epsilon;
  optimizer.weight_decay = config.weight_decay;
  return optimizer;
}

Difference compare(const Tensors& streamed, const Tensors& plain, const Tensors& start, const Tensors& clear) {
  Difference difference;
  for (const auto& [name, tensor] : plain) {
    if (has_no_gradient(name)) continue;
    const torch::Tensor& of = clear.at(name);
    EXPECT_GE(of.to(torch::kFloat32).mean().item<double>(), 0.9) << name << ": too much was left out";
    const double error = update_error(streamed.at(name), tensor, start.at(name), of);
    if (error <= difference.weights) continue;
    difference.weights = error;
    difference.tensor = name;
  }
  return difference;
}

Difference difference_of(const Config& config) {
  const std::vector<Batch> batches = random_batches(kSteps, kBatches, config.model.vocab);
  const Outcome streamed = train_streamed(config, batches);
  reference::Options options;
  options.seed = config.train.seed;
  const reference::ReferenceLoop initial(models::make(config.model), options);
  Tensors start;
  Tensors end;
  for (std::int64_t unit = 0; unit < initial.units(); ++unit) {
    const torch::Tensor& flat = initial.weights(unit);
    add_tensors(start, initial, unit, {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()});
    add_tensors(end, initial, unit, streamed.weights[static_cast<std::size_t>(unit)]);
  }
  reference::PlainModel plain(config.model, start, plain_optimizer(config.optimizer));
  Tensors clear;
  double loss_error = 0.0;
  for (std::size_t step = 0; step < batches.size(); ++step) {
    std::vector<std::pair<torch::Tensor, torch::Tensor>> pairs;
    for (const auto& batch : micro_batches_of(batches[step])) pairs.emplace_back(batch.ids, batch.labels);
    const double warmup = std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config.optimizer.warmup_steps));
    const double expected = plain.step(pairs, config.optimizer.learning_rate * warmup).loss;
    loss_error = std::max(loss_error, std::abs(streamed.losses[step] / expected - 1.0));
    note_clear_gradients(plain, clear);
  }
  Tensors expected;
  for (const auto& [name, tensor] : plain.parameters()) expected[name] = tensor.detach();
  for (Tensors* tensors : {&start, &end, &expected}) split_joint_projection(*tensors);
  EXPECT_EQ(end.size(), expected.size());
  Difference difference = compare(end, expected, start, clear);
  difference.loss = loss_error;
  return difference;
}

class PlainTorch : public testing::TestWithParam<const char*> {};

// A run in ten or so meets rounding that decides something early and goes its own way from there: of three seeds two must agree. A program that
// computes anything else agrees with none.
TEST_P(PlainTorch, WithTorchsAdamWAgreesInLossesAndWeights) {
  int agree = 0;
  std::string told;
  for (const std::uint64_t seed : {1U, 2U, 4U}) {
    if (agree == 2) break;
    const TempFolder folder;
    const Difference difference = difference_of(config_of(GetParam(), seed, folder));
    agree += difference.loss <= 1e-6 && difference.weights <= 1e-5 ? 1 : 0;
    std::ostringstream line;
    line << "seed " << seed << ": losses " << difference.loss << ", weights " << difference.weights << " (" << difference.tensor << ")\n";
    told += line.str();
  }
  EXPECT_EQ(agree, 2) << told;
  RecordProperty("differences", told);
}

INSTANTIATE_TEST_SUITE_P(Families, PlainTorch, testing::Values("gpt2", "llama"), [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace gsnake::test
