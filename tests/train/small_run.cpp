#include "train/small_run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "checkpoint/store_options.h"
#include "memory/anonymous.h"
#include "optim/formats.h"
#include "reference/config_options.h"
#include "store/store.h"
#include "train/session.h"

namespace gsnake::test {

TempFolder::TempFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-train-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

ModelConfig small_gpt2() {
  ModelConfig model;
  model.family = ModelFamily::gpt2;
  model.layers = 3;
  model.hidden = 96;
  model.heads = 4;
  model.vocab = 700;
  model.context = 64;
  model.tie_embeddings = true;
  model.dropout = 0.1;
  return model;
}

ModelConfig small_llama() {
  ModelConfig model;
  model.family = ModelFamily::llama;
  model.layers = 3;
  model.hidden = 96;
  model.heads = 4;
  model.kv_heads = 2;
  model.intermediate = 256;
  model.vocab = 700;
  model.context = 64;
  model.tie_embeddings = false;
  return model;
}

ModelConfig small_family(ModelFamily family) {
  if (family == ModelFamily::gpt2) return small_gpt2();
  ModelConfig model = small_llama();
  model.family = family;
  if (family == ModelFamily::mistral) model.sliding_window = 5;
  if (family == ModelFamily::mistral) model.tie_embeddings = true;
  if (family == ModelFamily::qwen2) model.rope_scaling = {RopeScalingType::linear, 4.0, 1.0, 4.0, 0};
  if (family == ModelFamily::qwen3) model.rope_scaling = {RopeScalingType::llama3, 8.0, 1.0, 4.0, 16};
  if (family == ModelFamily::qwen3) model.head_dim = 40;
  return model;
}

Config small_config(const ModelConfig& model, std::int64_t micro_batches, const TempFolder& folder) {
  Config config;
  config.model = model;
  config.data.train = {"unused.txt"};
  config.train.dtype = Dtype::fp32;
  config.train.micro_batches = micro_batches;
  config.train.micro_batch_size = kRows;
  config.train.sequence_length = kTokens;
  config.train.compute_threads = 1;
  config.train.head_chunk = 24;
  config.train.seed = 7;
  config.train.delay = 0.0;
  config.optimizer.learning_rate = 1e-3;
  config.placement.activations = {};
  config.placement.gradients = {};
  config.ssd.paths = {folder / "ssd"};
  config.run.dir = folder / "run";
  config.run.durability = Durability::off;
  return config;
}

std::vector<Batch> random_batches(std::int64_t steps, std::int64_t micro_batches, std::int64_t vocab) {
  std::mt19937_64 random(11);
  std::uniform_int_distribution<std::int64_t> token(0, vocab - 1);
  std::vector<Batch> batches(static_cast<std::size_t>(steps));
  for (Batch& batch : batches) {
    for (std::int64_t i = 0; i < micro_batches * kRows * kTokens; ++i) {
      batch.inputs.push_back(token(random));
      batch.labels.push_back(random() % 9 == 0 ? kIgnoredLabel : token(random));
    }
  }
  return batches;
}

std::vector<reference::MicroBatch> micro_batches_of(const Batch& batch) {
  const auto all = [&](const std::vector<std::int64_t>& ids) {
    return torch::tensor(ids, torch::kInt64).view({-1, kRows, kTokens});
  };
  const torch::Tensor inputs = all(batch.inputs);
  const torch::Tensor labels = all(batch.labels);
  std::vector<reference::MicroBatch> micro_batches;
  for (std::int64_t m = 0; m < inputs.size(0); ++m) micro_batches.push_back({inputs[m].clone(), labels[m].clone()});
  return micro_batches;
}

namespace {

std::vector<float> floats_of(const torch::Tensor& tensor) {
  const torch::Tensor whole = tensor.contiguous();
  return {whole.data_ptr<float>(), whole.data_ptr<float>() + whole.numel()};
}

// What the run in `config`'s folders has committed, as another process would find it.
std::vector<std::vector<float>> committed(const Config& config, store::Kind kind, const std::vector<std::vector<float>>& like) {
  const auto store = store::Store::open(checkpoint::store_options(config), {});
  std::vector<std::vector<float>> units;
  if (store->layout().kinds[static_cast<std::size_t>(kind)].padded_bytes.empty()) return units;
  for (std::size_t unit = 0; unit < like.size(); ++unit) {
    const std::uint64_t bytes = store->layout().kinds[static_cast<std::size_t>(kind)].padded_bytes[unit];
    const memory::AnonymousMemory buffer(bytes);
    store->read({kind, static_cast<std::uint32_t>(unit), 0, bytes}, store->committed_slot(), buffer.data());
    std::vector<float>& values = units.emplace_back(like[unit].size());
    if (config.optimizer.moments == MomentFormat::bf16) {
      optim::widen(optim::WeightFormat::bf16, {reinterpret_cast<const std::uint16_t*>(buffer.data()), values.size()}, values);
    } else {
      std::memcpy(values.data(), buffer.data(), values.size() * sizeof(float));
    }
  }
  return units;
}

}  // namespace

Outcome train_streamed(const Config& config, const std::vector<Batch>& batches, const TrainerOptions& options) {
  Outcome outcome;
  {
    Trainer trainer(models::make(config.model), config, options);
    const auto take = [&] {
      const StepResult result = trainer.wait();
      outcome.losses.push_back(result.loss);
      outcome.grad_norms.push_back(result.grad_norm);
      outcome.skipped.push_back(result.skipped);
      outcome.redone.push_back(result.redone);
    };
    for (std::size_t i = 0; i < batches.size(); ++i) {
      trainer.submit(batches[i]);
      if (i > 0) take();
    }
    take();
    trainer.commit();
    for (std::int64_t unit = 0; unit < config.model.layers + 2; ++unit) outcome.weights.push_back(trainer.weights(unit));
  }
  outcome.moment1 = committed(config, store::Kind::moment1, outcome.weights);
  outcome.moment2 = committed(config, store::Kind::moment2, outcome.weights);
  return outcome;
}

Outcome train_in_memory(const Config& config, const std::vector<Batch>& batches, reference::Order order) {
  torch::set_num_threads(static_cast<int>(config.train.compute_threads));
  reference::Options options = reference::options_of(config);
  options.order = order;
  reference::ReferenceLoop loop(models::make(config.model), options);
  Outcome outcome;
  for (const Batch& batch : batches) {
    const std::vector<reference::MicroBatch> micro_batches = micro_batches_of(batch);
    const reference::StepResult result = loop.step(micro_batches, config.optimizer.learning_rate);
    outcome.losses.push_back(result.loss);
    outcome.grad_norms.push_back(result.grad_norm);
    outcome.skipped.push_back(result.skipped);
    outcome.factors.push_back(static_cast<double>(result.gradient_factor) * static_cast<double>(result.loss_scale));
  }
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) {
    outcome.weights.push_back(floats_of(loop.weights(unit)));
    outcome.moment1.push_back(floats_of(loop.moment1(unit)));
    if (config.optimizer.name == UpdateRule::adamw || config.optimizer.name == UpdateRule::adam) outcome.moment2.push_back(floats_of(loop.moment2(unit)));
  }
  return outcome;
}

namespace {

void expect_equal(const std::vector<std::vector<float>>& streamed, const std::vector<std::vector<float>>& in_memory, const char* what) {
  ASSERT_EQ(streamed.size(), in_memory.size()) << what;
  for (std::size_t unit = 0; unit < in_memory.size(); ++unit) {
    ASSERT_EQ(streamed[unit].size(), in_memory[unit].size()) << what << " of unit " << unit;
    ASSERT_EQ(std::memcmp(streamed[unit].data(), in_memory[unit].data(), in_memory[unit].size() * sizeof(float)), 0) << what << " of unit " << unit;
  }
}

}  // namespace

void expect_equal(const Outcome& streamed, const Outcome& in_memory) {
  ASSERT_EQ(streamed.losses.size(), in_memory.losses.size());
  for (std::size_t i = 0; i < in_memory.losses.size(); ++i) {
    ASSERT_EQ(streamed.losses[i], in_memory.losses[i]) << "loss of step " << i + 1;
    ASSERT_EQ(streamed.skipped[i], in_memory.skipped[i]) << "step " << i + 1;
    if (streamed.skipped[i]) continue;
    ASSERT_EQ(streamed.grad_norms[i], in_memory.grad_norms[i]) << "gradient norm of step " << i + 1;
  }
  ASSERT_NO_FATAL_FAILURE(expect_equal(streamed.weights, in_memory.weights, "weights"));
  ASSERT_NO_FATAL_FAILURE(expect_equal(streamed.moment1, in_memory.moment1, "first moments"));
  ASSERT_NO_FATAL_FAILURE(expect_equal(streamed.moment2, in_memory.moment2, "second moments"));
}

void expect_unstorable_weight_ends_the_run(Config config, const std::vector<Batch>& batches, TrainerOptions options) {
  {
    Trainer trainer(models::make(config.model), config, options);
    trainer.step(batches[0]);
    trainer.commit();
  }
  config.optimizer.learning_rate = 3e38;
  options.allow_change = {"optimizer.learning_rate"};
  Trainer trainer(models::make(config.model), config, options);
  try {
    for (std::size_t i = 1; i < batches.size(); ++i) trainer.step(batches[i]);
    trainer.commit();
    FAIL() << "it went on";
  } catch (const NonFiniteError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("a new weight of unit "), std::string::npos) << message;
    EXPECT_NE(message.find("step 1 is committed"), std::string::npos) << message;
  }
  EXPECT_EQ(trainer.committed_step(), 1);
}

}  // namespace gsnake::test
