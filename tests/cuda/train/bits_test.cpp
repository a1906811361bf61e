// Training on the fake GPU with LibTorch's own operators: the CPU's bits, whatever is late.
#include <gtest/gtest.h>

#include "fake/control.h"
#include "sweep.h"
#include "train/cuda_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 3;

class CudaRun : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { reports_ = fake_cuda_reports(); }
  void TearDown() override {
    EXPECT_EQ(fake_cuda_reports(), reports_) << "misuse of CUDA, see stderr";
    EXPECT_EQ(fake_cuda_skipped(), 0) << "a kernel of LibTorch's for which nothing stands in was launched";
  }
  // Dropout draws other random numbers on a GPU.
  static ModelConfig model() {
    ModelConfig model = small_family(GetParam().family);
    model.dropout = 0.0;
    return model;
  }
  int reports_ = 0;
};

TEST_P(CudaRun, GivesTheBitsOfTrainingInMemory) {
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, small_llama().vocab);
  for (std::size_t i = 0; i < kRunSettings.size(); ++i) {
    const RunSetting& setting = kRunSettings[i];
    if (!is_long_run() && i % 2 != static_cast<std::size_t>(GetParam().dtype) % 2) continue;
    SCOPED_TRACE(setting.name);
    const TempFolder unused;
    const auto order = setting.schedule == Schedule::vertical ? reference::Order::snake : reference::Order::ascending;
    const Outcome expected = train_in_memory(cuda_config(setting, model(), GetParam().dtype, unused), batches, order);
    for (int seed = 1; seed <= sweep(1, 12); ++seed) {
      SCOPED_TRACE("delays of seed " + std::to_string(seed));
      const TempFolder folder;
      const Config config = cuda_config(setting, model(), GetParam().dtype, folder);
      ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches, on_fake_gpu(static_cast<std::uint64_t>(seed))), expected));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, CudaRun, testing::ValuesIn(every_kind()), [](const auto& test) { return name_of(test.param); });

TEST(CudaDropout, DrawsTheSameNumbersWhateverTheScheduleIs) {
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, small_gpt2().vocab);
  std::optional<Outcome> first;
  for (std::size_t i = 0; i < 4; ++i) {
    SCOPED_TRACE(kRunSettings[i].name);
    const TempFolder folder;
    Outcome outcome = train_streamed(cuda_config(kRunSettings[i], small_gpt2(), Dtype::fp32, folder), batches, on_fake_gpu(i + 1));
    if (!first) {
      first = std::move(outcome);
    } else {
      ASSERT_NO_FATAL_FAILURE(expect_equal(outcome, *first));
    }
  }
}

TEST(CudaResume, GoesOnToTheBitsOfARunThatWasNotStopped) {
  const std::vector<Batch> batches = random_batches(4, kRunMicroBatches, small_llama().vocab);
  const RunSetting& setting = kRunSettings[2];
  const TempFolder whole;
  const Outcome expected = train_streamed(cuda_config(setting, small_llama(), Dtype::bf16, whole), batches, on_fake_gpu(3));
  const TempFolder folder;
  const Config config = cuda_config(setting, small_llama(), Dtype::bf16, folder);
  std::vector<double> losses;
  for (const auto& part : {std::pair<std::size_t, std::size_t>{0, 2}, {2, 4}}) {
    Trainer trainer(models::make(config.model), config, on_fake_gpu(5));
    EXPECT_EQ(trainer.completed_steps(), static_cast<std::int64_t>(part.first));
    for (std::size_t i = part.first; i < part.second; ++i) losses.push_back(trainer.step(batches[i]).loss);
    trainer.commit();
  }
  EXPECT_EQ(losses, expected.losses);
}

}  // namespace
}  // namespace gsnake::test
