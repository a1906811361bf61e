#include "train/cuda_run.h"

#include "cuda/device/cuda_device.h"
#include "fake/control.h"
#include "gpu/fake_gpu.h"

namespace gsnake::test {

TrainerOptions on_fake_gpu(std::uint64_t seed, WrapDevice wrap, const cuda::KernelOps& ops) {
  train::Parts parts;
  parts.make_device = [seed, wrap, ops](const Config&) {
    fake_gpu::install();
    const FakeCudaDelays delays{seed, seed == 0 ? 0U : 12U, 400, seed % 2 == 0 ? 1U : 20U};
    fake_cuda_set_delays(&delays);
    train::ComputeDevice made;
    made.support = cuda::make_support(0, ops);
    // Chunks smaller than a slot, so that copies lie across several.
    made.device = cuda::make_cuda_device({.register_chunk_bytes = std::size_t{1} << 20U, .with_current = cuda::with_current_stream});
    if (wrap) made.device = wrap(std::move(made.device));
    return made;
  };
  TrainerOptions options;
  options.parts = std::make_shared<const train::Parts>(std::move(parts));
  return options;
}

const std::vector<RunSetting> kRunSettings{
    {"all on ssd, nothing delayed", Schedule::vertical, 0.0, {0, 0}, {0, 0}, 0.0, Durability::commit},
    {"all on ssd, all delayed and spilled", Schedule::vertical, 1.0, {0, 0}, {0, 0}, 0.0, Durability::off},
    {"all on the device", Schedule::vertical, 0.7, {1, 0}, {1, 0}, 1.0, Durability::commit},
    {"all in host memory, all delayed", Schedule::vertical, 1.0, {0, 1}, {0, 1}, 1.0, Durability::commit},
    {"thirds, horizontal", Schedule::horizontal, 0.25, {1.0 / 3, 1.0 / 3}, {1.0 / 3, 1.0 / 3}, 0.0, Durability::off},
};

std::vector<Kind> every_kind() {
  std::vector<Kind> all;
  for (const ModelFamily family : {ModelFamily::gpt2, ModelFamily::llama, ModelFamily::mistral, ModelFamily::qwen2, ModelFamily::qwen3}) {
    for (const Dtype dtype : {Dtype::fp32, Dtype::bf16, Dtype::fp16}) all.push_back({family, dtype});
  }
  return all;
}

Config cuda_config(const RunSetting& setting, const ModelConfig& model, Dtype dtype, const TempFolder& folder) {
  Config config = small_config(model, kRunMicroBatches, folder);
  config.memory.device = "cuda:0";
  config.train.dtype = dtype;
  config.train.schedule = setting.schedule;
  config.train.order = setting.schedule == Schedule::vertical ? MicroBatchOrder::snake : MicroBatchOrder::ascending;
  // fp16 scales its loss, and so defers its updates.
  config.train.delay = dtype == Dtype::fp16 ? 1.0 : setting.delay;
  config.placement.weights = config.placement.optimizer = setting.state;
  config.placement.activations = setting.activations;
  config.placement.gradients = {0.0, setting.gradients_host, false};
  config.placement.kept.device = setting.delay;  // none, all, and in between
  config.run.durability = setting.durability;
  return config;
}

}  // namespace gsnake::test
