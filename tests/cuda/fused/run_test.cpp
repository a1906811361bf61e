// Whole training runs on the fake GPU with this project's kernels: their own bits whatever is late and however the run is laid out, and the
// CPU's losses up to rounding.
#include <gtest/gtest.h>

#include <cmath>

#include "fused/on_host.h"
#include "train/cuda_run.h"

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
  for (const std::size_t i : {1U, 3U}) {
    SCOPED_TRACE(kRunSettings[i].name);
    const TempFolder folder;
    const FusedOnHost kernels(i);
    Outcome outcome = train_streamed(cuda_config(kRunSettings[i], tiny(GetParam().family), GetParam().dtype, folder), batches, on_fake_gpu(i));
    if (first) {
      ASSERT_NO_FATAL_FAILURE(expect_equal(outcome, *first));
    } else {
      first = std::move(outcome);
    }
  }
  const TempFolder unused;
  const Outcome on_cpu = train_in_memory(cuda_config(kRunSettings[1], tiny(GetParam().family), GetParam().dtype, unused), batches, reference::Order::snake);
  const double tolerance = GetParam().dtype == Dtype::fp32 ? 2e-6 : 5e-3;
  for (std::size_t step = 0; step < on_cpu.losses.size(); ++step) {
    EXPECT_NEAR(first->losses[step], on_cpu.losses[step], tolerance * on_cpu.losses[step]) << "step " << step;
    EXPECT_NEAR(first->grad_norms[step], on_cpu.grad_norms[step], 20 * tolerance * on_cpu.grad_norms[step]) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, FusedRun,
                         testing::Values(Kind{ModelFamily::gpt2, Dtype::fp32}, Kind{ModelFamily::llama, Dtype::bf16}, Kind{ModelFamily::mistral, Dtype::fp16},
                                         Kind{ModelFamily::qwen2, Dtype::fp32}, Kind{ModelFamily::qwen3, Dtype::bf16}),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace gsnake::test
