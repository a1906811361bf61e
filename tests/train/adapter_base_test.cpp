// Adapters beside a base: the same run wherever the base is cached, however it is dequantised and whatever the order; its bytes are read once a pass.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/base.h"
#include "device/async_device.h"
#include "train/parts.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSteps = 4;

// A block's matrices, in fp32, take more than a quarter of the tight device budget.
constexpr std::uint64_t kTight = 8ULL << 20;
constexpr std::uint64_t kBlockElements = 192ULL * (2 * 192 + 2 * 96 + 3 * 768);

ModelConfig model_of(bool tied) {
  ModelConfig model = small_llama();
  model.hidden = 192;
  model.intermediate = 768;
  model.tie_embeddings = tied;
  return model;
}

std::string make_base(const ModelConfig& model, const TempFolder& folder, const std::string& format, const std::string& embeddings = "") {
  quantize("", model, folder / "base", {.format = format, .embeddings = embeddings, .seed = 3, .progress = {}});
  return folder / "base";
}

Config config_beside(const std::string& base, const ModelConfig& model, std::int64_t micro_batches, const TempFolder& folder) {
  Config config = small_config(model, micro_batches, folder);
  config.adapter.rank = 4;
  config.adapter.base = base;
  config.optimizer.learning_rate = 1e-2;
  return config;
}

struct Result {
  std::vector<double> losses;
  std::vector<double> norms;
  std::string adapter;  // the file
};

std::string content(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

Result train(const Config& config, const TrainerOptions& options = {}, std::int64_t first = 0, std::int64_t last = kSteps) {
  const std::vector<Batch> batches = random_batches(kSteps, config.train.micro_batches, config.model.vocab);
  Result result;
  {
    Trainer trainer(models::make(config), config, options);
    for (std::int64_t step = first; step < last; ++step) {
      const StepResult one = trainer.step(batches[static_cast<std::size_t>(step)]);
      result.losses.push_back(one.loss);
      result.norms.push_back(one.grad_norm);
    }
    trainer.commit();
  }
  const fs::path to = fs::path(config.run.dir).parent_path() / "adapter";
  fs::remove_all(to);
  export_run(config.run.dir, to.string());
  result.adapter = content(to / "adapter_model.safetensors");
  return result;
}

void expect_same(const Result& found, const Result& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.norms, expected.norms);
  EXPECT_EQ(found.adapter, expected.adapter);
}

struct Packed {
  const char* name;
  const char* format;
  const char* embeddings;
  bool tied;
  Dtype dtype;
  AdapterVariant variant;
};

class Bases : public testing::TestWithParam<Packed> {};

TEST_P(Bases, GiveTheSameBitsWhereverTheyAreAndHoweverTheyAreDequantised) {
  const Packed& packed = GetParam();
  const ModelConfig model = model_of(packed.tied);
  const TempFolder folder;
  const std::string base = make_base(model, folder, packed.format, packed.embeddings);
  const std::string bytes = content(fs::path(base) / "base.bin");
  const auto config_in = [&](const TempFolder& in) {
    Config config = config_beside(base, model, 3, in);
    config.train.dtype = packed.dtype;
    config.adapter.variant = packed.variant;
    config.train.order = MicroBatchOrder::ascending;
    return config;
  };
  const Result expected = train(config_in(folder));
  EXPECT_NE(expected.losses.front(), expected.losses.back());

  for (const int other : {0, 1, 2, 3}) {
    SCOPED_TRACE(other);
    const TempFolder elsewhere;
    Config config = config_in(elsewhere);
    TrainerOptions options;
    if (other == 0) {
      config.train.delay = 0.7;
      config.placement.weights = {0.3, 0.3};
      config.placement.optimizer = {0.0, 0.5};
      config.placement.activations = {0.0, 1.0};
      config.placement.kept.device = 1.0;
      config.ssd.paths = {elsewhere / "a", elsewhere / "b"};
      config.run.durability = Durability::commit;
    } else if (other == 1) {
      config.train.schedule = Schedule::horizontal;
      config.placement.weights = {0.0, 1.0};
      config.placement.kept.device = 0.6;
    } else if (other == 2) {
      config.memory.device_budget = kTight;
    } else {
      train::Parts late;
      late.make_device = [](const Config&) { return train::ComputeDevice{std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = 5}), nullptr}; };
      options.parts = std::make_shared<const train::Parts>(std::move(late));
    }
    expect_same(train(config, options), expected);
  }
  EXPECT_EQ(content(fs::path(base) / "base.bin"), bytes);
}

INSTANTIATE_TEST_SUITE_P(Formats, Bases,
                         testing::Values(Packed{"nf4", "nf4", "nf4", false, Dtype::fp32, AdapterVariant::lora}, Packed{"nf4_bf16", "nf4", "", false, Dtype::bf16, AdapterVariant::dora},
                                         Packed{"int8_tied", "int8", "int8", true, Dtype::fp32, AdapterVariant::rslora}, Packed{"mxfp4_tied", "mxfp4", "", true, Dtype::bf16, AdapterVariant::lora},
                                         Packed{"bf16", "bf16", "", false, Dtype::fp32, AdapterVariant::dora}),
                         [](const auto& instance) { return std::string(instance.param.name); });

// What a base holds is what is computed with: unpacked into the run, it trains alike.
TEST(Base, TrainsAsItsValuesDo) {
  const ModelConfig model = model_of(false);
  const TempFolder folder;
  const std::string base = make_base(model, folder, "nf4");
  const Result packed = train(config_beside(base, model, 2, folder));
  ExportOptions merge;
  merge.merge = true;
  // An adapter that was not trained changes nothing: merged, it is the base's values.
  const TempFolder still;
  Config config = config_beside(base, model, 2, still);
  config.optimizer.learning_rate = 0.0;
  train(config, {}, 0, 1);
  export_run(config.run.dir, still / "values", merge);

  const TempFolder other;
  Config unpacked = config_beside("", model, 2, other);
  unpacked.model.from = still / "values";
  const Result values = train(unpacked);
  for (std::size_t i = 0; i < packed.losses.size(); ++i) EXPECT_NEAR(packed.losses[i], values.losses[i], 1e-6 * values.losses[i]) << "step " << i + 1;
}

// Packed bytes are read once in forward and once in backward, of all micro-batches: embedding and head once.
TEST(Base, IsReadOnceAPassWhateverTheMicroBatches) {
  const ModelConfig model = model_of(false);
  const TempFolder folder;
  const std::string path = make_base(model, folder, "nf4", "nf4");
  const base::Base base = base::Base::open(path);
  std::uint64_t expected = 0;
  for (std::size_t unit = 0; unit < base.manifest().units.size(); ++unit) {
    const bool is_end = unit == 0 || unit + 1 == base.manifest().units.size();
    expected += (is_end ? 1 : 2) * base.manifest().kind_of(static_cast<int>(unit)).bytes;
  }
  for (const std::int64_t micro_batches : {1, 2, 8}) {
    const TempFolder in;
    Config config = config_beside(path, model, micro_batches, in);
    config.placement.activations = {0.0, 1.0};
    config.placement.weights = {0.0, 0.0};
    Trainer trainer(models::make(config), config);
    const std::vector<Batch> batches = random_batches(kSteps, micro_batches, model.vocab);
    trainer.step(batches[0]);
    trainer.step(batches[1]);
    trainer.take_traffic();
    trainer.step(batches[2]);
    const Traffic traffic = trainer.take_traffic();
    EXPECT_EQ(traffic.ssd_read_bytes, trainer.report().formula_ssd_read_bytes) << micro_batches;
    // Beside the base: the adapters, whose weights are read in both passes and their moments once, in grains of 2048 elements.
    const std::uint64_t adapters = static_cast<std::uint64_t>(model.layers) * 16 * ((trainer.report().trained_parameters / static_cast<std::uint64_t>(model.layers) + 2047) / 2048 * 2048);
    EXPECT_EQ(traffic.ssd_read_bytes, expected + adapters) << micro_batches;
    EXPECT_LE(traffic.ssd_write_bytes, adapters) << micro_batches;
    EXPECT_GT(traffic.dequantised_elements, 0U);
  }
}

TEST(Base, IsDequantisedOnceAVisitWhereItFitsAndElseForEachMicroBatch) {
  const ModelConfig model = model_of(false);
  const TempFolder folder;
  const std::string base = make_base(model, folder, "nf4", "nf4");
  const auto elements_of_a_step = [&](std::int64_t micro_batches, std::uint64_t budget) {
    const TempFolder in;
    Config config = config_beside(base, model, micro_batches, in);
    config.memory.device_budget = budget;
    Trainer trainer(models::make(config), config);
    const std::vector<Batch> batches = random_batches(kSteps, micro_batches, model.vocab);
    trainer.step(batches[0]);
    trainer.take_traffic();
    trainer.step(batches[1]);
    return trainer.take_traffic().dequantised_elements;
  };
  const std::uint64_t rows = kRows * kTokens * 192;  // of the embedding, a micro-batch
  const std::uint64_t head = 700 * 192;
  const std::uint64_t blocks = 3 * kBlockElements;
  for (const std::int64_t m : {1, 4}) {
    EXPECT_EQ(elements_of_a_step(m, 1ULL << 30), 2 * blocks + head + static_cast<std::uint64_t>(m) * rows) << m;
    // Forward; again in backward, and for the gradient of what came in, which q, k and v of the first block have no use for.
    const std::uint64_t unused = 192 * (192 + 2 * 96);
    EXPECT_EQ(elements_of_a_step(m, kTight), static_cast<std::uint64_t>(m) * (3 * blocks - unused + rows) + head) << m;
  }
}

TEST(Base, GoesOnAfterACommitAndOnlyBesideTheSameBase) {
  const ModelConfig model = model_of(false);
  const TempFolder folder;
  const std::string base = make_base(model, folder, "nf4");
  const Result whole = train(config_beside(base, model, 2, folder));

  const TempFolder other;
  Config config = config_beside(base, model, 2, other);
  config.run.durability = Durability::commit;
  train(config, {}, 0, 2);
  TrainerOptions resume;
  resume.resume = Resume::must;
  {
    const TempFolder wrong;
    Config beside = config;
    quantize("", model, wrong / "base", {.format = "nf4", .embeddings = "", .seed = 4, .progress = {}});
    beside.adapter.base = wrong / "base";
    try {
      train(beside, resume, 2);
      FAIL() << "another base was taken";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("adapter.base"), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(train(config, resume, 2).adapter, whole.adapter);
}

// Moved together, they find one another.
TEST(Base, IsFoundWhereItLiesRelativeToTheRun) {
  const ModelConfig model = model_of(false);
  const TempFolder folder;
  fs::create_directory(folder / "here");
  quantize("", model, folder / "here/base", {.format = "int8", .embeddings = "", .seed = 3, .progress = {}});
  Config config = config_beside(folder / "here/base", model, 2, folder);
  config.run.dir = folder / "here/run";
  config.ssd.paths = {folder / "here/run/ssd"};
  config.run.durability = Durability::commit;
  train(config, {}, 0, 2);
  fs::rename(folder / "here", folder / "there");
  ExportOptions merge;
  merge.merge = true;
  EXPECT_EQ(run_config(folder / "there/run").adapter.base, folder / "there/base");
  EXPECT_EQ(export_run(folder / "there/run", folder / "merged", merge).step, 2);

  config.run.dir = folder / "there/run";
  config.ssd.paths = {folder / "there/run/ssd"};
  TrainerOptions resume;
  resume.resume = Resume::must;
  train(config, resume, 2, 3);
}

TEST(Base, OfAnotherModelIsRefused) {
  const TempFolder folder;
  const std::string base = make_base(model_of(false), folder, "nf4");
  ModelConfig wider = model_of(false);
  wider.intermediate = 320;
  const Config config = config_beside(base, wider, 2, folder);
  try {
    Trainer trainer(models::make(config), config);
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("adapter.base"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("mlp.gate_proj.weight"), std::string::npos) << error.what();
  }
}

// What must be in memory does not grow with the depth.
TEST(Base, NeedsTheSameMemoryForAnyNumberOfLayers) {
  std::vector<std::uint64_t> bytes;
  for (const std::int64_t layers : {4, 32}) {
    ModelConfig model = model_of(false);
    model.layers = layers;
    const TempFolder folder;
    const std::string base = make_base(model, folder, "nf4");
    Config config = config_beside(base, model, 2, folder);
    config.train.delay = 0.0;
    Trainer trainer(models::make(config), config);
    std::uint64_t sum = 0;
    for (const MemoryItem& item : trainer.report().memory) {
      if (item.name != "task graphs and tables" && item.name != "norm partials") sum += item.bytes;
    }
    bytes.push_back(sum);
  }
  EXPECT_LE(static_cast<double>(bytes[1]), 1.03 * static_cast<double>(bytes[0]));
}

}  // namespace
}  // namespace gsnake::test
