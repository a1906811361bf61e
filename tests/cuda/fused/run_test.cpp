// Whole training runs on the fake GPU with this project's kernels: their own bits whatever is late and however the run is laid out, and the
// CPU's losses up to rounding. They wait for nothing.
#include <gtest/gtest.h>

#include <cmath>

#include "fused/on_host.h"
#include "train/cuda_run.h"
#include "train/waiting_calls.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 2;

class FusedRun : public testing::TestWithParam<Kind> {};

// Kernels on the host take a fiber a thread: as small as the formats allow.
ModelConfig tiny(ModelFamily family) {
  ModelConfig model = small_family(family);
  model.layers = 2;
  model.dropout = 0.0;
  return model;
}

TEST_P(FusedRun, GivesItsOwnBitsAndTheCpusLosses) {
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, tiny(GetParam().family).vocab);
  std::optional<Outcome> first;
  const auto config_of = [](const RunSetting& setting, const TempFolder& folder) {
    Config config = cuda_config(setting, tiny(GetParam().family), GetParam().dtype, folder);
    config.train.order = MicroBatchOrder::ascending;  // that of both schedules
    return config;
  };
  for (const std::size_t i : {0U, 3U, 4U}) {  // activations recomputed, kept, and some of each
    SCOPED_TRACE(kRunSettings[i].name);
    const TempFolder folder;
    const FusedOnHost kernels(i);
    Outcome outcome = train_streamed(config_of(kRunSettings[i], folder), batches, on_fake_gpu(i));
    if (first) {
      ASSERT_NO_FATAL_FAILURE(expect_equal(outcome, *first));
    } else {
      first = std::move(outcome);
    }
  }
  const TempFolder unused;
  const Outcome on_cpu = train_in_memory(config_of(kRunSettings[0], unused), batches, reference::Order::ascending);
  const double tolerance = GetParam().dtype == Dtype::fp32 ? 2e-6 : 5e-3;
  for (std::size_t step = 0; step < on_cpu.losses.size(); ++step) {
    EXPECT_NEAR(first->losses[step], on_cpu.losses[step], tolerance * on_cpu.losses[step]) << "step " << step;
    EXPECT_NEAR(first->grad_norms[step], on_cpu.grad_norms[step], 20 * tolerance * on_cpu.grad_norms[step]) << "step " << step;
  }
}

TEST_P(FusedRun, NeverWaitsInAStep) {
  const TempFolder folder;
  const FusedOnHost kernels(0);
  const Config config = cuda_config(kRunSettings[0], tiny(GetParam().family), GetParam().dtype, folder);
  Trainer trainer(models::make(config), config, on_fake_gpu(0));
  const auto before = waiting_calls();
  for (const Batch& batch : random_batches(kSteps, kRunMicroBatches, config.model.vocab)) trainer.step(batch);
  EXPECT_EQ(waiting_calls(), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, FusedRun, testing::ValuesIn(every_kind()), [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace gsnake::test
