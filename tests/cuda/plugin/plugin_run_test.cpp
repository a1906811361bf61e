// memory.device = "cuda:0" from the config to the last commit: the library opens the plug-in, which finds the fake GPU.
#include <greedysnake/greedysnake.h>
#include <gtest/gtest.h>

#include <random>

#include "device/cuda_plugin.h"
#include "fake/control.h"
#include "gpu/fake_gpu.h"
#include "model/fused.h"
#include "train/parts.h"
#include "temporary_folder.h"

namespace gsnake::test {
namespace {

Config config_on(const std::string& device, const TemporaryFolder& folder) {
  Config config;
  config.model.family = ModelFamily::llama;
  config.model.layers = 2;
  config.model.hidden = 64;
  config.model.heads = 4;
  config.model.vocab = 300;
  config.model.context = 32;
  config.train.micro_batches = 2;
  config.train.sequence_length = 16;
  config.train.dtype = Dtype::fp32;
  config.train.compute_threads = 1;
  config.memory.device = device;
  config.memory.device_budget = config.memory.host_budget = 64ULL << 20U;
  config.ssd.paths = {folder / "ssd"};
  config.run.dir = folder / "run";
  return config;
}

Batch batch_of(int step) {
  Batch batch;
  std::mt19937 random(static_cast<unsigned>(step));
  for (int i = 0; i < 2 * 16; ++i) {
    batch.inputs.push_back(static_cast<std::int64_t>(random() % 300));
    batch.labels.push_back(static_cast<std::int64_t>(random() % 300));
  }
  return batch;
}

std::vector<double> losses_on(const std::string& device) {
  const TemporaryFolder folder;
  const Config config = config_on(device, folder);
  TrainerOptions options;
  if (device != "cpu") {
    train::Parts parts;
    // The plug-in's kernels are a GPU's machine code, which nothing runs here: LibTorch's operators, which the fake GPU has.
    parts.make_device = [](const Config& settings) {
      fake_gpu::install();
      train::ComputeDevice made = train::open_device(settings);
      model::set_fused_ops(nullptr);
      return made;
    };
    options.parts = std::make_shared<const train::Parts>(std::move(parts));
  }
  Trainer trainer(models::make(config.model), config, options);
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) losses.push_back(trainer.step(batch_of(step)).loss);
  trainer.commit();
  return losses;
}

TEST(CudaPlugin, IsOpenedByTheLibraryAndTrainsToTheCpusBits) {
  const device::CudaProbe probe = device::probe_cuda();
  ASSERT_TRUE(probe.lack.cause.empty()) << probe.lack.cause;
  ASSERT_EQ(probe.devices.size(), 1U);
  EXPECT_NE(probe.plugin.find("libgreedysnake_cuda.so"), std::string::npos) << probe.plugin;
  EXPECT_EQ(losses_on("cuda:0"), losses_on("cpu"));
  EXPECT_EQ(fake_cuda_reports(), 0);
}

TEST(CudaPlugin, SetsTheKernelsOfThisProject) {
  fake_gpu::install();
  model::set_fused_ops(nullptr);
  const TemporaryFolder folder;
  const train::ComputeDevice made = train::open_device(config_on("cuda:0", folder));
  EXPECT_NE(model::fused_ops(torch::empty({1}, torch::device(torch::kCUDA))), nullptr);
  model::set_fused_ops(nullptr);
}

TEST(CudaPlugin, ADeviceThatIsNotThereIsRefused) {
  const TemporaryFolder folder;
  try {
    train::open_device(config_on("cuda:7", folder));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("cuda:7"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gsnake::test
