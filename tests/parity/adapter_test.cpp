// Adapters that start from PEFT's folders have the losses, gradient norms and values that PEFT has with them (make_adapter_fixtures).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "data/open.h"
#include "hf/weights_folder.h"
#include "parity/imported_run.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;

fs::path fixtures() { return GSNAKE_ADAPTER_FIXTURES; }

struct Case {
  fs::path folder;
  nlohmann::json expected;
};

Case case_named(const std::string& name) {
  return {fixtures() / name, nlohmann::json::parse(read_file((fixtures() / name / "expected.json").string()))};
}

Config config_of(const Case& one, const TempFolder& folder, const std::vector<std::string>& more = {}) {
  const std::string model = one.expected.at("model");
  const bool pairs = one.expected.contains("reward_chosen");
  const bool masked = one.folder.filename() == "llama_whole";
  const auto quoted = [](const fs::path& path) { return nlohmann::json(path.string()).dump(); };
  std::vector<std::string> settings{"model.from=" + quoted(fixtures() / "models" / model), "adapter.from=" + quoted(one.folder / "initial"), "run.dir=" + quoted(folder / "run"),
                                    "ssd.paths=[" + quoted(folder / "ssd") + "]", "memory.device_budget=\"256 MiB\"", "memory.host_budget=\"256 MiB\"", "run.metrics=\"\"",
                                    "data.order=\"sequential\""};
  if (pairs) {
    settings.push_back("data.train=[" + quoted(fixtures() / "dpo/pairs.jsonl") + "]");
  } else {
    settings.push_back("data.train=[{path=" + quoted(fixtures() / "tokens.bin") + (masked ? ",mask=" + quoted(fixtures() / "tokens.mask") : "") + "}]");
  }
  for (const auto& setting : one.expected.at("settings")) settings.push_back(setting);
  settings.insert(settings.end(), more.begin(), more.end());
  return Config::parse("", ".", settings);
}

struct Trained {
  std::vector<double> losses;
  std::vector<double> norms;
  std::map<std::string, std::vector<double>> rewards;  // by name, of preference pairs
};

Trained train(const Config& config) {
  Trained trained;
  Trainer trainer(models::make(config), config);
  data::BatchStream stream = data::open_training(config);
  Batch batch;
  for (std::int64_t step = 0; step < config.train.steps; ++step) {
    stream.next(batch);
    const StepResult result = trainer.step(batch);
    trained.losses.push_back(result.loss);
    trained.norms.push_back(result.grad_norm);
    if (!result.rewards) continue;
    trained.rewards["reward_chosen"].push_back(result.rewards->chosen);
    trained.rewards["reward_rejected"].push_back(result.rewards->rejected);
    trained.rewards["reward_accuracy"].push_back(result.rewards->accuracy);
    trained.rewards["reward_margin"].push_back(result.rewards->margin);
  }
  trainer.commit();
  return trained;
}

std::vector<float> values_of(const hf::TensorSource& source) {
  std::vector<float> values(source.tensor.bytes / sizeof(float));
  std::memcpy(values.data(), source.file->bytes().data() + source.tensor.offset, source.tensor.bytes);
  return values;
}

double length(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return std::sqrt(sum);
}

class Adapters : public testing::TestWithParam<const char*> {};

TEST_P(Adapters, TrainAsPeftDoes) {
  const TempFolder folder;
  const Case one = case_named(GetParam());
  const Trained trained = train(config_of(one, folder));
  const auto& losses = one.expected.at("losses");
  const auto& norms = one.expected.at("gradient_norms");
  ASSERT_EQ(trained.losses.size(), losses.size());
  // Of preferences the loss is of differences of sums over answers.
  const double allowed = one.expected.contains("reward_chosen") ? 1e-5 : 1e-6;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(trained.losses[i], losses[i].get<double>(), allowed * losses[i].get<double>()) << "step " << i + 1;
    EXPECT_NEAR(trained.norms[i], norms[i].get<double>(), 1e-5 * norms[i].get<double>()) << "step " << i + 1;
  }
  EXPECT_EQ(trained.rewards.empty(), !one.expected.contains("reward_chosen"));
  for (const auto& [name, values] : trained.rewards) {
    ASSERT_EQ(values.size(), losses.size());
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], one.expected.at(name)[i].get<double>(), 1e-5) << name << " of step " << i + 1;
  }
  export_run(folder / "run", folder / "adapter");
  const hf::WeightsFolder ours = hf::WeightsFolder::of_adapter(folder / "adapter");
  const hf::WeightsFolder first = hf::WeightsFolder::of_adapter((one.folder / "initial").string());
  fs::create_directory(folder / "theirs");
  fs::copy_file(one.folder / "final.safetensors", fs::path(folder / "theirs") / hf::kAdapterName);
  const hf::WeightsFolder theirs = hf::WeightsFolder::of_adapter(folder / "theirs");
  EXPECT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [name, source] : theirs.tensors()) {
    ASSERT_NE(ours.find(name), nullptr) << name;
    const std::vector<float> wanted = values_of(source);
    EXPECT_LE(length(values_of(*ours.find(name)), wanted), 5e-4 * length(wanted, values_of(*first.find(name)))) << name;
  }
}

// What is sent elsewhere, delayed or ordered otherwise is the same run.
TEST_P(Adapters, HaveTheSameBitsHoweverTheyAreScheduled) {
  const Case one = case_named(GetParam());
  const TempFolder folder;
  const Trained plain = train(config_of(one, folder, {"train.delay=0.0", "train.order=\"ascending\""}));
  const std::string export_to = folder / "adapter";
  export_run(folder / "run", export_to);
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"train.schedule=\"horizontal\""},
        std::vector<std::string>{"placement.weights={device=0.3,host=0.4}", "placement.optimizer.host=0.5", "placement.activations.host=0.0", "placement.gradients.host=0.0"}}) {
    const TempFolder other;
    std::vector<std::string> settings{"train.order=\"ascending\""};
    if (one.expected.at("settings").dump().find("gradient_clipping=0.0") != std::string::npos) settings.push_back("train.delay=0.6");
    settings.insert(settings.end(), more.begin(), more.end());
    const Trained moved = train(config_of(one, other, settings));
    EXPECT_EQ(moved.losses, plain.losses);
    EXPECT_EQ(moved.norms, plain.norms);
    EXPECT_EQ(moved.rewards, plain.rewards);
    export_run(other / "run", other / "adapter");
    EXPECT_EQ(read_file((fs::path(other / "adapter") / hf::kAdapterName).string()), read_file((fs::path(export_to) / hf::kAdapterName).string()));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Adapters,
                         testing::Values("gpt2_lora", "gpt2_dora", "llama_lora", "llama_dora", "llama_whole", "mistral_rslora", "qwen2_tied_whole", "qwen3_norms", "dpo", "dpo_head"),
                         [](const auto& instance) { return std::string(instance.param); });

// A validation has the rewards that the step has which computes the same pairs, and means are over the pairs that count.
TEST(Preferences, HaveRewardsOverThePairsThatCount) {
  const TempFolder folder;
  const Config config = config_of(case_named("dpo"), folder);
  Trainer trainer(models::make(config), config);
  EXPECT_FALSE(trainer.validation_rewards());
  data::BatchStream stream = data::open_training(config);
  Batch batch;
  for (int step = 0; step < 5; ++step) {
    stream.next(batch);
    trainer.step(batch);
  }
  stream.next(batch);
  const auto validated = [&](const Batch& pairs) {
    trainer.validate(pairs);
    return *trainer.validation_rewards();
  };
  const Rewards all = validated(batch);
  EXPECT_NE(all.chosen, 0.0);
  EXPECT_NE(all.accuracy, 0.0);
  EXPECT_NE(all.rejected, all.chosen);

  const auto pair = static_cast<std::size_t>(2 * config.train.sequence_length);
  const auto begin = batch.labels.begin();
  Batch others = batch;
  std::fill_n(others.labels.begin(), pair, kIgnoredLabel);
  Batch first = batch;
  std::fill(first.labels.begin() + static_cast<std::ptrdiff_t>(pair), first.labels.end(), kIgnoredLabel);
  ASSERT_EQ(batch.labels.end() - begin, static_cast<std::ptrdiff_t>(4 * pair));
  const Rewards three = validated(others);
  const Rewards one = validated(first);
  EXPECT_NEAR(4 * all.chosen, 3 * three.chosen + one.chosen, 1e-9);
  EXPECT_NEAR(4 * all.rejected, 3 * three.rejected + one.rejected, 1e-9);
  EXPECT_NEAR(4 * all.margin, 3 * three.margin + one.margin, 1e-9);
  EXPECT_DOUBLE_EQ(4 * all.accuracy, 3 * three.accuracy + one.accuracy);
  EXPECT_EQ(one.accuracy, one.margin > 0.0 ? 1.0 : 0.0);

  // As many micro-batches as one pass and a part of another have.
  Batch twice = batch;
  twice.inputs.insert(twice.inputs.end(), batch.inputs.begin(), batch.inputs.begin() + static_cast<std::ptrdiff_t>(2 * pair));
  twice.labels.insert(twice.labels.end(), begin, begin + static_cast<std::ptrdiff_t>(2 * pair));
  Batch half;
  half.inputs.assign(batch.inputs.begin(), batch.inputs.begin() + static_cast<std::ptrdiff_t>(2 * pair));
  half.labels.assign(begin, begin + static_cast<std::ptrdiff_t>(2 * pair));
  EXPECT_NEAR(6 * validated(twice).margin, 4 * all.margin + 2 * validated(half).margin, 1e-9);

  std::fill(first.labels.begin(), first.labels.end(), kIgnoredLabel);
  EXPECT_TRUE(std::isnan(validated(first).accuracy));

  const StepResult step = trainer.step(batch);
  ASSERT_TRUE(step.rewards);
  EXPECT_EQ(step.rewards->chosen, all.chosen);
  EXPECT_EQ(step.rewards->rejected, all.rejected);
  EXPECT_EQ(step.rewards->accuracy, all.accuracy);
  EXPECT_EQ(step.rewards->margin, all.margin);
}

// A merged model is the base with W + scaling B A in place of W: here against PEFT's own merge.
TEST(AdapterExport, MergesToWhatPeftMergesTo) {
  for (const char* name : {"gpt2_dora", "llama_lora"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    const Case one = case_named(name);
    train(config_of(one, folder));
    ExportOptions merge;
    merge.merge = true;
    export_run(folder / "run", folder / "merged", merge);
    fs::create_directory(folder / "theirs");
    fs::copy_file(one.folder / "merged.safetensors", fs::path(folder / "theirs") / hf::kAdapterName);
    const hf::WeightsFolder theirs = hf::WeightsFolder::of_adapter(folder / "theirs");
    const hf::WeightsFolder ours((folder / "merged"));
    for (const auto& [tensor, source] : theirs.tensors()) {
      ASSERT_NE(ours.find(tensor), nullptr) << tensor;
      const std::vector<float> wanted = values_of(source);
      const std::vector<float> found = values_of(*ours.find(tensor));
      ASSERT_EQ(found.size(), wanted.size());
      double largest = 0.0;
      double error = 0.0;
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
        error = std::max(error, std::abs(static_cast<double>(wanted[i]) - found[i]));
      }
      EXPECT_LE(error, 5e-4 * largest) << tensor;  // as far as training agrees
    }
  }
}

}  // namespace
}  // namespace gsnake::test
