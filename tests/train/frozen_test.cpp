// Units some of whose parameters take no gradient: they stay as they were, the others train as in plain torch, wherever everything lives.
#include <gtest/gtest.h>

#include <filesystem>

#include "device/async_device.h"
#include "train/parts.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kVocab = 96;
constexpr std::int64_t kHidden = 64;
constexpr std::int64_t kSteps = 5;
constexpr std::int64_t kMicroBatches = 3;

torch::Tensor parameter(std::initializer_list<std::int64_t> sizes) { return torch::empty(sizes, torch::kMeta); }

// What of a model takes gradients.
struct Trained {
  const char* name;
  bool tables = true;   // the embedding's
  bool bases = true;    // the blocks' matrices
  bool adapters = true;
  bool head = true;
  bool tied = false;
};

class Table final : public EmbeddingUnit {
 public:
  explicit Table(const Trained& trained) {
    scale_ = register_parameter("scale", parameter({kHidden}));
    table_ = register_parameter("table", parameter({kVocab, kHidden}), trained.tables);
  }
  torch::Tensor forward(const torch::Tensor& ids) override { return torch::embedding(table_, ids) * scale_; }

 private:
  torch::Tensor scale_;
  torch::Tensor table_;
};

// A matrix, and beside it the product of two thin ones.
class Adapted final : public Unit {
 public:
  explicit Adapted(const Trained& trained) {
    norm_ = register_parameter("norm", parameter({kHidden}), trained.bases);
    base_ = register_parameter("base", parameter({kHidden, kHidden}), trained.bases);
    down_ = register_parameter("down", parameter({4, kHidden}), trained.adapters);
    up_ = register_parameter("up", parameter({kHidden, 4}), trained.adapters);
  }
  torch::Tensor forward(const torch::Tensor& hidden) override {
    const torch::Tensor x = torch::rms_norm(hidden, {kHidden}, norm_);
    return hidden + torch::tanh(torch::linear(x, base_) + torch::linear(torch::linear(x, down_), up_));
  }

 private:
  torch::Tensor norm_, base_, down_, up_;
};

class Logits final : public HeadUnit {
 public:
  explicit Logits(const Trained& trained) {
    norm_ = register_parameter("norm", parameter({kHidden}), trained.head);
    weight_ = register_parameter("weight", parameter({kVocab, kHidden}), trained.head);
  }
  torch::Tensor logits(const torch::Tensor& hidden) override { return torch::linear(torch::rms_norm(hidden, {kHidden}, norm_), weight_); }

 private:
  torch::Tensor norm_;
  torch::Tensor weight_;
};

Model adapted_model(const Trained& trained) {
  Model model;
  model.kinds = {{"table", std::make_shared<Table>(trained)}, {"adapted", std::make_shared<Adapted>(trained)}, {"logits", std::make_shared<Logits>(trained)}};
  model.units = {0, 1, 1, 2};
  model.hidden = kHidden;
  model.vocab = kVocab;
  model.max_context = 64;
  if (trained.tied) model.tied.push_back({"table", "weight"});
  model.initialize = [tied = trained.tied](torch::nn::Module& module, std::int64_t unit) {
    const torch::NoGradGuard no_grad;
    for (auto& one : module.named_parameters()) {
      if (tied && unit == 3 && one.key() == "weight") continue;
      if (one.value().dim() == 1) {
        one.value().fill_(1.0);
      } else {
        one.value().normal_(0.0, 0.1);
      }
    }
  };
  return model;
}

Config config_of(const TempFolder& folder, Dtype dtype) {
  Config config = small_config(small_gpt2(), kMicroBatches, folder);
  config.train.dtype = dtype;
  config.optimizer.learning_rate = 1e-2;
  config.optimizer.weight_decay = 0.0;
  if (dtype == Dtype::fp16) config.train.delay = -1.0;
  return config;
}

struct Result {
  std::vector<double> losses;
  std::vector<std::vector<float>> before;  // by unit
  std::vector<std::vector<float>> after;
};

Result train(const Config& config, const Trained& trained, const TrainerOptions& options = {}) {
  Result result;
  const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches, kVocab);
  Trainer trainer(adapted_model(trained), config, options);
  const auto weights = [&] {
    trainer.commit();
    std::vector<std::vector<float>> all;
    for (std::int64_t unit = 0; unit < 4; ++unit) all.push_back(trainer.weights(unit));
    return all;
  };
  result.before = weights();
  for (const Batch& batch : batches) result.losses.push_back(trainer.step(batch).loss);
  result.losses.push_back(trainer.validate(batches[0]));
  result.after = weights();
  return result;
}

class Frozen : public testing::TestWithParam<Trained> {};

TEST_P(Frozen, KeepsItsBitsAndTheRestTrainsToTheSameOnesWhereverItLives) {
  for (const Dtype dtype : {Dtype::fp32, Dtype::bf16, Dtype::fp16}) {
    SCOPED_TRACE(word_of(dtype));
    const TempFolder folder;
    const Result expected = train(config_of(folder, dtype), GetParam());
    EXPECT_LT(expected.losses.back(), expected.losses.front());

    const TempFolder elsewhere;
    Config other = config_of(elsewhere, dtype);
    if (dtype != Dtype::fp16) other.train.delay = 0.7;
    other.placement.weights = {0.3, 0.3};
    other.placement.optimizer = {0.0, 0.5};
    other.run.durability = Durability::commit;
    train::Parts late;
    late.make_device = [](const Config&) { return std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = 3}); };
    TrainerOptions options;
    options.parts = std::make_shared<const train::Parts>(std::move(late));
    const Result actual = train(other, GetParam(), options);
    EXPECT_EQ(actual.losses, expected.losses);
    EXPECT_EQ(actual.after, expected.after);

    const Model model = adapted_model(GetParam());
    for (std::size_t unit = 0; unit < 4; ++unit) {
      std::size_t offset = 0;
      for (const auto& one : model.kinds[static_cast<std::size_t>(model.units[unit])].module->named_parameters()) {
        if (GetParam().tied && unit == 3 && one.key() == "weight") continue;  // the embedding's
        const auto size = static_cast<std::size_t>(one.value().numel());
        const auto same = std::equal(expected.before[unit].begin() + static_cast<std::ptrdiff_t>(offset),
                                     expected.before[unit].begin() + static_cast<std::ptrdiff_t>(offset + size),
                                     expected.after[unit].begin() + static_cast<std::ptrdiff_t>(offset));
        EXPECT_EQ(same, !one.value().requires_grad()) << "unit " << unit << ' ' << one.key();
        offset += (size + 15) / 16 * 16;
      }
      EXPECT_EQ(offset, expected.after[unit].size());
    }
  }
}

// The loop in plain torch, in memory: its own autograd, its own AdamW.
TEST_P(Frozen, TrainsAsPlainTorchDoes) {
  const TempFolder folder;
  const Config config = config_of(folder, Dtype::fp32);
  const Result streamed = train(config, GetParam());

  const Model model = adapted_model(GetParam());
  std::vector<std::shared_ptr<torch::nn::Module>> units{model.kinds[0].module, model.kinds[1].module, std::make_shared<Adapted>(GetParam()), model.kinds[2].module};
  std::vector<torch::Tensor> trained;
  torch::Tensor table;
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    std::size_t offset = 0;
    for (auto& one : units[unit]->named_parameters()) {
      torch::Tensor& parameter = one.value();
      const bool needs_gradient = parameter.requires_grad();
      if (GetParam().tied && unit == 3 && one.key() == "weight") {
        parameter.unsafeGetTensorImpl()->_change_backend_component_keys(torch::kCPU);
        parameter.set_data(table);
        continue;
      }
      const torch::Tensor values = torch::tensor(std::vector<float>(streamed.before[unit].begin() + static_cast<std::ptrdiff_t>(offset),
                                                                    streamed.before[unit].begin() + static_cast<std::ptrdiff_t>(offset + static_cast<std::size_t>(parameter.numel()))))
                                       .view(parameter.sizes());
      parameter.unsafeGetTensorImpl()->_change_backend_component_keys(torch::kCPU);
      parameter.set_data(values);
      if (needs_gradient) trained.push_back(parameter);
      if (one.key() == "table") table = parameter;
      offset += (static_cast<std::size_t>(parameter.numel()) + 15) / 16 * 16;
    }
  }
  const auto loss_of = [&](const reference::MicroBatch& batch, double factor) {
    torch::Tensor hidden = dynamic_cast<EmbeddingUnit&>(*units[0]).forward(batch.ids);
    for (std::size_t unit : {1U, 2U}) hidden = dynamic_cast<Unit&>(*units[unit]).forward(hidden);
    torch::Tensor logits = dynamic_cast<HeadUnit&>(*units[3]).logits(hidden.view({-1, kHidden}));
    if (GetParam().tied) {
      logits = torch::linear(torch::rms_norm(hidden.view({-1, kHidden}), {kHidden}, units[3]->named_parameters()["norm"]), table);
    }
    const auto options = torch::nn::functional::CrossEntropyFuncOptions().ignore_index(kIgnoredLabel).reduction(torch::kSum);
    return torch::nn::functional::cross_entropy(logits, batch.labels.flatten(), options) * factor;
  };
  torch::optim::AdamW adam(trained, torch::optim::AdamWOptions(config.optimizer.learning_rate)
                                        .betas({config.optimizer.beta1, config.optimizer.beta2})
                                        .eps(config.optimizer.epsilon)
                                        .weight_decay(0.0));
  const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches, kVocab);
  for (std::size_t step = 0; step < batches.size(); ++step) {
    const std::vector<reference::MicroBatch> parts = micro_batches_of(batches[step]);
    std::int64_t counted = 0;
    for (const reference::MicroBatch& part : parts) counted += part.labels.ne(kIgnoredLabel).sum().item<std::int64_t>();
    adam.zero_grad();
    double loss = 0.0;
    for (const reference::MicroBatch& part : parts) {
      const torch::Tensor one = loss_of(part, 1.0 / static_cast<double>(counted));
      one.backward();
      loss += one.item<double>();
    }
    EXPECT_NEAR(streamed.losses[step], loss, 2e-5 * loss) << "step " << step;
    adam.step();
  }
}

// What takes gradients decides what is stored: a change is refused, and leaves the run as it was.
TEST(FrozenModel, AResumeWithOtherParametersFrozenIsRefused) {
  for (const Durability durability : {Durability::off, Durability::commit}) {
    const TempFolder folder;
    Config config = config_of(folder, Dtype::bf16);
    config.run.durability = durability;
    const Trained before{.name = "", .bases = false};
    const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches, kVocab);
    const auto go_on = [&](const Trained& trained) {
      TrainerOptions options;
      options.resume = Resume::must;
      Trainer trainer(adapted_model(trained), config, options);
      const double loss = trainer.step(batches[1]).loss;
      trainer.commit();
      return std::pair(loss, trainer.weights(1));
    };
    {
      Trainer trainer(adapted_model(before), config);
      trainer.step(batches[0]);
      trainer.commit();
    }
    EXPECT_THROW(go_on({.name = "all"}), Error);
    EXPECT_THROW(go_on({.name = "bases instead", .adapters = false}), Error);
    EXPECT_THROW(go_on({.name = "no block", .bases = false, .adapters = false}), Error);
    EXPECT_THROW(go_on({.name = "the head too", .bases = false, .head = false}), Error);
    const auto resumed = go_on(before);

    const TempFolder elsewhere;
    config = config_of(elsewhere, Dtype::bf16);
    Trainer whole(adapted_model(before), config);
    whole.step(batches[0]);
    EXPECT_EQ(whole.step(batches[1]).loss, resumed.first);
    whole.commit();
    EXPECT_EQ(whole.weights(1), resumed.second);
  }
}

TEST(FrozenModel, ThatHasNothingToTrainIsRefused) {
  const TempFolder folder;
  Model model = adapted_model({.name = "", .tables = false, .bases = false, .adapters = false, .head = false});
  for (auto& one : model.kinds[0].module->parameters()) one.set_requires_grad(false);
  EXPECT_THROW(Trainer(std::move(model), config_of(folder, Dtype::fp32)), Error);
}

INSTANTIATE_TEST_SUITE_P(Parts, Frozen,
                         testing::Values(Trained{.name = "adapters_alone", .tables = false, .bases = false, .head = false},
                                         Trained{.name = "all_but_tables", .tables = false}, Trained{.name = "all_but_the_head", .head = false},
                                         Trained{.name = "all_but_blocks", .bases = false, .adapters = false},
                                         Trained{.name = "tied_to_a_frozen_table", .tables = false, .tied = true},
                                         Trained{.name = "tied_head_and_frozen_bases", .bases = false, .tied = true}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace gsnake::test
