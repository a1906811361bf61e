// Adapters beside a packed base on the fake GPU, with this project's kernels: their own bits wherever the base lies and however it is dequantised, and the
// CPU's losses up to rounding.
#include <gtest/gtest.h>

#include "cuda/torch/packed.h"
#include "fused/on_host.h"
#include "train/cuda_run.h"
#include "train/waiting_calls.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 2;

struct Packed {
  const char* name;
  const char* format;
  const char* embeddings;
  ModelFamily family;
  Dtype dtype;
  AdapterVariant variant;
};

// Kernels on the host take a fiber a thread: as small as the formats allow.
ModelConfig tiny(const Packed& packed) {
  ModelConfig model = small_family(packed.family);
  model.layers = 2;
  model.dropout = 0.0;
  return model;
}

struct Trained {
  std::vector<double> losses;
  std::vector<double> norms;
  std::uint64_t dequantised = 0;
};

Trained train(const Config& config, const TrainerOptions& options = {}) {
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, config.model.vocab);
  Trainer trainer(models::make(config), config, options);
  Trained run;
  const auto before = waiting_calls();
  for (const Batch& batch : batches) {
    const StepResult step = trainer.step(batch);
    run.losses.push_back(step.loss);
    run.norms.push_back(step.grad_norm);
  }
  if (config.memory.device != "cpu") EXPECT_EQ(waiting_calls(), before);
  run.losses.push_back(trainer.validate(batches[0]));
  run.dequantised = trainer.take_traffic().dequantised_elements;
  return run;
}

class PackedBase : public testing::TestWithParam<Packed> {};

TEST_P(PackedBase, GivesItsOwnBitsAndTheCpusLosses) {
  const Packed& packed = GetParam();
  const TempFolder folder;
  quantize("", tiny(packed), folder / "base", {.format = packed.format, .embeddings = packed.embeddings, .seed = 3, .progress = {}});
  const auto config_of = [&](const RunSetting& setting, const TempFolder& in) {
    Config config = cuda_config(setting, tiny(packed), packed.dtype, in);
    config.train.order = MicroBatchOrder::ascending;
    config.adapter.rank = 4;
    config.adapter.base = folder / "base";
    config.adapter.variant = packed.variant;
    config.optimizer.learning_rate = 1e-2;
    return config;
  };
  std::optional<Trained> first;
  for (const std::size_t i : {0U, 3U}) {
    SCOPED_TRACE(kRunSettings[i].name);
    const TempFolder in;
    const FusedOnHost kernels(i + 1);
    const int reports = fake_cuda_reports();
    Config config = config_of(kRunSettings[i], in);
    const Trained run = train(config, on_fake_gpu(i + 1, {}, {.packed = &cuda::packed_ops()}));
    EXPECT_EQ(fake_cuda_reports(), reports) << "misuse of CUDA, see stderr";
    EXPECT_GT(run.dequantised, 0U);
    if (first) {
      EXPECT_EQ(run.losses, first->losses);
      EXPECT_EQ(run.norms, first->norms);
    } else {
      first = run;
    }
  }
  const TempFolder on_cpu;
  Config config = config_of(kRunSettings[0], on_cpu);
  config.memory.device = "cpu";
  const Trained cpu = train(config);
  const double tolerance = packed.dtype == Dtype::fp32 ? 2e-6 : 5e-3;
  for (std::size_t step = 0; step < cpu.losses.size(); ++step) EXPECT_NEAR(first->losses[step], cpu.losses[step], tolerance * cpu.losses[step]) << "step " << step;
  for (std::size_t step = 0; step < cpu.norms.size(); ++step) EXPECT_NEAR(first->norms[step], cpu.norms[step], 20 * tolerance * cpu.norms[step]) << "step " << step;
  EXPECT_NE(first->losses.front(), first->losses.back());
}

INSTANTIATE_TEST_SUITE_P(Formats, PackedBase,
                         testing::Values(Packed{"nf4", "nf4", "nf4", ModelFamily::llama, Dtype::bf16, AdapterVariant::lora},
                                         Packed{"int8_tied", "int8", "int8", ModelFamily::gpt2, Dtype::fp32, AdapterVariant::rslora},
                                         Packed{"mxfp4_dora", "mxfp4", "", ModelFamily::qwen3, Dtype::bf16, AdapterVariant::dora}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(PackedBaseOnAGpu, NeedsKernelsForIt) {
  const Packed packed{"", "nf4", "", ModelFamily::llama, Dtype::fp32, AdapterVariant::lora};
  const TempFolder folder;
  quantize("", tiny(packed), folder / "base", {.format = "nf4", .embeddings = "", .seed = 3, .progress = {}});
  Config config = cuda_config(kRunSettings[0], tiny(packed), Dtype::fp32, folder);
  config.adapter.rank = 4;
  config.adapter.base = folder / "base";
  try {
    train(config, on_fake_gpu(1));
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("adapter.base"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gsnake::test
