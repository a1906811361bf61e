// Generation of adapters beside packed bases, of 16-bit runs, of folders, and of units that know nothing of a cache.
#include <gmock/gmock.h>

#include "generate/generating.h"

namespace gsnake::test {
namespace {

TEST(GenerateModels, AnAdapterBesideAPackedBase) {
  for (const AdapterVariant variant : {AdapterVariant::lora, AdapterVariant::dora}) {
    const TempFolder folder;
    Config config = small_config(small_llama(), 2, folder);
    quantize("", config.model, folder / "base", {.format = "nf4", .embeddings = "int8", .seed = 3, .progress = {}});
    config.adapter.rank = 4;
    config.adapter.variant = variant;
    config.adapter.base = folder / "base";
    GeneratingRun run(config);
    const TokenLists prompts = three_prompts(run.config.model.vocab);
    std::optional<TokenLists> expected;
    for (const Budgets& budgets : {Budgets{"in memory"}, on_the_drive(run.config)}) {
      SCOPED_TRACE(budgets.name);
      generate::TextGenerator generator(engine_of(run.config, budgets));
      const TokenLists found = tokens_of(generator.generate(prompts, greedy(20)));
      for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_LE(run.reference->worst_gap(prompts[i], found[i]), 1e-4) << "prompt " << i;
      EXPECT_EQ(found, expected.value_or(found));
      expected = found;
    }
  }
}

TEST(GenerateModels, A16BitRunComputedInFp32) {
  for (const Dtype dtype : {Dtype::bf16, Dtype::fp16}) {
    const TempFolder folder;
    Config config = small_config(small_llama(), 2, folder);
    config.train.dtype = dtype;
    config.train.delay = -1.0;
    config.train.compute_dtype = ComputeDtype::fp32;
    GeneratingRun run(config);
    const TokenLists prompts = three_prompts(run.config.model.vocab);
    std::optional<TokenLists> expected;
    for (const Budgets& budgets : all_budgets(run.config)) {
      SCOPED_TRACE(budgets.name);
      generate::TextGenerator generator(engine_of(run.config, budgets));
      const TokenLists found = tokens_of(generator.generate(prompts, greedy(20)));
      // A hidden state that is rounded the other way is off by a part in 256, or in 2048.
      for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_LE(run.reference->worst_gap(prompts[i], found[i]), dtype == Dtype::bf16 ? 0.1 : 0.02) << "prompt " << i;
      EXPECT_EQ(found, expected.value_or(found));
      expected = found;
    }
  }
}

TEST(GenerateModels, AFoldersTokensAreThoseOfItsRun) {
  for (const ModelFamily family : {ModelFamily::gpt2, ModelFamily::mistral}) {
    const TempFolder folder;
    const GeneratingRun run(small_config(small_family(family), 2, folder));
    export_run(run.config.run.dir, folder / "hf");
    ModelOptions options;
    const TokenLists prompts = three_prompts(run.config.model.vocab);
    options.context = kContext;
    const TokenLists expected = tokens_of(Generator(run.config.run.dir, options).generate(prompts, greedy(20)));
    EXPECT_EQ(tokens_of(Generator::of_folder(folder / "hf").generate(prompts, greedy(20))), expected);
    const Budgets drive = on_the_drive(run.config);
    options.device_budget = drive.device;
    options.host_budget = drive.host;
    Generator reading = Generator::of_folder(folder / "hf", options);
    EXPECT_EQ(tokens_of(reading.generate(prompts, greedy(20))), expected);
    const std::uint64_t before = reading.counts().read_bytes;
    reading.generate(prompts, greedy(1));
    EXPECT_GT(reading.counts().read_bytes, before);
  }
}

// A user's: what it needs of earlier tokens it finds in its input alone.
class Averaging : public Unit {
 public:
  explicit Averaging(std::int64_t hidden) { weight_ = register_parameter("weight", torch::empty({hidden, hidden}, torch::kMeta)); }
  torch::Tensor forward(const torch::Tensor& hidden) override {
    const torch::Tensor counts = torch::arange(1, hidden.size(1) + 1, hidden.options()).view({1, -1, 1});
    return hidden + torch::tanh(torch::linear(hidden.cumsum(1) / counts, weight_));
  }

 private:
  torch::Tensor weight_;
};

TEST(GenerateModels, UnitsThatKnowNothingOfACacheComputeWholeTexts) {
  const TempFolder folder;
  const Config config = small_config(small_llama(), 2, folder);
  Model model = models::make(config.model);
  model.kinds[1].module = std::make_shared<Averaging>(config.model.hidden);
  model.names = {};
  model.initialize = [](torch::nn::Module& module, std::int64_t) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : module.parameters()) parameter.normal_(0.0, 0.1);
  };
  GeneratingRun run(config, model);
  const TokenLists prompts = three_prompts(run.config.model.vocab);
  ModelOptions options;
  options.context = kContext;
  Generator generator(model, run.config.run.dir, options);
  const TokenLists found = tokens_of(generator.generate(prompts, greedy(10)));
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_LE(run.reference->worst_gap(prompts[i], found[i]), kRounding) << "prompt " << i;
  std::int64_t positions = 0;
  for (const auto& prompt : prompts) {
    for (std::int64_t i = 0; i < 10; ++i) positions += static_cast<std::int64_t>(prompt.size()) + i;
  }
  EXPECT_EQ(generator.counts().positions, positions);
  EXPECT_EQ(generator.counts().passes, 10);
  EXPECT_EQ(tokens_of(generator.generate(prompts, greedy(10, true))), found) << "with guesses";
}

// A block that fails once when it is told to.
class Failing final : public Unit, public CachedUnit {
 public:
  explicit Failing(const std::shared_ptr<torch::nn::Module>& block) : block_(register_module("block", block)) {}
  torch::Tensor forward(const torch::Tensor& hidden) override { return dynamic_cast<Unit&>(*block_).forward(hidden); }
  torch::Tensor forward_cached(const torch::Tensor& hidden, TokenCache& cache) override {
    if (++calls == fails_at) throw std::runtime_error("the block's own trouble");
    return dynamic_cast<CachedUnit&>(*block_).forward_cached(hidden, cache);
  }
  [[nodiscard]] std::int64_t cached_numbers() const override { return dynamic_cast<const CachedUnit&>(*block_).cached_numbers(); }

  int calls = 0;
  int fails_at = 0;

 private:
  std::shared_ptr<torch::nn::Module> block_;
};

TEST(GenerateModels, AfterAFailureTheSameGeneratorGoesOnAsANewOne) {
  const TempFolder folder;
  const Config config = small_config(small_llama(), 2, folder);
  Model model = models::make(config.model);
  const auto block = std::make_shared<Failing>(model.kinds[1].module);
  model.kinds[1].module = block;
  model.names = {};
  const GeneratingRun run(config, model);
  const TokenLists prompts = three_prompts(run.config.model.vocab);
  const Budgets drive = on_the_drive(run.config);
  ModelOptions options;
  options.context = kContext;
  options.device_budget = drive.device;
  options.host_budget = drive.host;
  const TokenLists expected = tokens_of(Generator(model, run.config.run.dir, options).generate(prompts, greedy(10)));
  const int calls = block->calls;
  for (const int call : {1, calls / 2, calls}) {  // in the dry run, and in passes that read weights
    Generator generator(model, run.config.run.dir, options);
    block->calls = 0;
    block->fails_at = call;
    EXPECT_THROW(generator.generate(prompts, greedy(10)), std::runtime_error) << "call " << call << " of " << calls;
    block->fails_at = 0;
    EXPECT_EQ(tokens_of(generator.generate(prompts, greedy(10))), expected) << "after call " << call << " of " << calls;
  }
}

}  // namespace
}  // namespace gsnake::test
