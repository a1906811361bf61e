// A part of the updates made on the fake GPU, by the kernel built for the host: the bits of training in memory, whatever is late, wherever state is.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "cuda/torch/updates.h"
#include "model/layout.h"
#include "fused/on_host.h"
#include "sweep.h"
#include "train/cuda_run.h"
#include "train/waiting_calls.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 3;

struct Updated {
  const char* name;
  Dtype dtype;
  UpdateRule rule;
  MomentFormat moments;
  double device;
  double clipping;  // below every norm, where it is
};
void PrintTo(const Updated& updated, std::ostream* out) { *out << updated.name; }

ModelConfig small_model() {
  ModelConfig model = small_family(ModelFamily::llama);
  model.layers = 2;
  return model;
}

Config config_of(const RunSetting& setting, const Updated& updated, const TempFolder& folder) {
  Config config = cuda_config(setting, small_model(), updated.dtype, folder);
  config.optimizer.name = updated.rule;
  config.optimizer.moments = updated.moments;
  config.optimizer.gradient_clipping = updated.clipping;
  if (updated.clipping > 0.0) config.train.delay = -1.0;
  config.placement.update.device = updated.device;
  return config;
}

class CudaUpdates : public testing::TestWithParam<Updated> {
 protected:
  void SetUp() override { reports_ = fake_cuda_reports(); }
  void TearDown() override { EXPECT_EQ(fake_cuda_reports(), reports_) << "misuse of CUDA, see stderr"; }
  int reports_ = 0;
};

TEST_P(CudaUpdates, GiveTheBitsOfTrainingInMemory) {
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, small_model().vocab);
  for (std::size_t i = 0; i < kRunSettings.size(); ++i) {
    const RunSetting& setting = kRunSettings[i];
    if (!is_long_run() && i % 2 != static_cast<std::size_t>(GetParam().dtype) % 2) continue;
    SCOPED_TRACE(setting.name);
    const TempFolder unused;
    const auto order = setting.schedule == Schedule::vertical ? reference::Order::snake : reference::Order::ascending;
    const Outcome expected = train_in_memory(config_of(setting, GetParam(), unused), batches, order);
    launch_on_fake_gpu(i + 1);
    const TempFolder folder;
    const TrainerOptions gpu = on_fake_gpu(i + 1, {}, {.make_updates = cuda::make_updates});
    ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config_of(setting, GetParam(), folder), batches, gpu), expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Of, CudaUpdates,
                         testing::Values(Updated{"fp32_adamw", Dtype::fp32, UpdateRule::adamw, MomentFormat::fp32, 0.3, 0.0},
                                         Updated{"fp32_adam_clipped", Dtype::fp32, UpdateRule::adam, MomentFormat::bf16, 1.0, 0.5},
                                         Updated{"bf16_adamw", Dtype::bf16, UpdateRule::adamw, MomentFormat::fp32, 1.0, 0.0},
                                         Updated{"bf16_lion", Dtype::bf16, UpdateRule::lion, MomentFormat::bf16, 0.3, 0.0},
                                         Updated{"fp16_adamw", Dtype::fp16, UpdateRule::adamw, MomentFormat::fp32, 1.0, 0.0},
                                         Updated{"fp16_sgd_clipped", Dtype::fp16, UpdateRule::sgd, MomentFormat::fp32, 0.6, 0.5}),
                         [](const auto& test) { return std::string(test.param.name); });

class CountedNorms final : public runtime::DeviceUpdates {
 public:
  explicit CountedNorms(std::unique_ptr<runtime::DeviceUpdates> updates) : updates_(std::move(updates)) {}
  void update(const device::ComputeScope& scope, const runtime::DeviceUpdateCall& call) override { updates_->update(scope, call); }
  void norm(const device::ComputeScope& scope, const runtime::DeviceNormCall& call) override {
    elements += call.elements;
    updates_->norm(scope, call);
  }
  static inline std::atomic<std::uint64_t> elements{0};

 private:
  std::unique_ptr<runtime::DeviceUpdates> updates_;
};

std::unique_ptr<runtime::DeviceUpdates> make_counted(int ordinal, const backend::DeviceUpdateParts& parts) {
  return std::make_unique<CountedNorms>(cuda::make_updates(ordinal, parts));
}

// With a part of the updates goes every look at what waits, though the CPU updates the rest; without, the CPU looks.
TEST(CudaNorms, GoWithTheUpdates) {
  RunSetting setting = kRunSettings[0];
  setting.delay = 1.0;
  const plan::ModelLayout layout = model::layout_of(models::make(small_model()), false);
  std::uint64_t trained = 0;
  for (std::size_t object = 0; object < layout.object_count(); ++object) trained += schedule::padded_elements(layout.flat(object).elements);
  const std::vector<Batch> batches = random_batches(kSteps, kRunMicroBatches, small_model().vocab);
  for (const double device : {0.0, 0.25}) {
    SCOPED_TRACE(device);
    const Updated updated{"fp32", Dtype::fp32, UpdateRule::adamw, MomentFormat::fp32, device, 0.0};
    const TempFolder unused;
    const Outcome expected = train_in_memory(config_of(setting, updated, unused), batches, reference::Order::snake);
    launch_on_fake_gpu(1);
    const TempFolder folder;
    CountedNorms::elements = 0;
    expect_equal(train_streamed(config_of(setting, updated, folder), batches, on_fake_gpu(1, {}, {.make_updates = make_counted})), expected);
    EXPECT_EQ(CountedNorms::elements, device > 0.0 ? kSteps * trained : 0);
  }
}

// fp16 scales its loss: steps that overflow are skipped, and weights come back from the master.
TEST(CudaUpdatesOfSkippedSteps, ChangeNothing) {
  std::vector<Batch> batches = random_batches(5, kRunMicroBatches, small_model().vocab);
  for (const std::size_t step : {1U, 3U}) {
    std::fill(batches[step].labels.begin(), batches[step].labels.end(), kIgnoredLabel);
    batches[step].labels[1] = 3;
  }
  const Updated updated{"fp16", Dtype::fp16, UpdateRule::adamw, MomentFormat::fp32, 1.0, 0.0};
  const TempFolder unused;
  const Outcome expected = train_in_memory(config_of(kRunSettings[0], updated, unused), batches, reference::Order::snake);
  EXPECT_EQ(std::count(expected.skipped.begin(), expected.skipped.end(), true), 2);
  launch_on_fake_gpu(2);
  const TempFolder folder;
  expect_equal(train_streamed(config_of(kRunSettings[0], updated, folder), batches, on_fake_gpu(2, {}, {.make_updates = cuda::make_updates})), expected);
}

TEST(CudaUpdatesOfAStep, WaitForNothingAndAskForNoMemory) {
  const Updated updated{"bf16", Dtype::bf16, UpdateRule::adamw, MomentFormat::fp32, 0.5, 0.0};
  for (const RunSetting& setting : kRunSettings) {
    SCOPED_TRACE(setting.name);
    launch_on_fake_gpu(1);
    const TempFolder folder;
    const Config config = config_of(setting, updated, folder);
    Trainer trainer(models::make(config.model), config, on_fake_gpu(0, {}, {.make_updates = cuda::make_updates}));
    const auto before = waiting_calls();
    for (const Batch& batch : random_batches(kSteps, kRunMicroBatches, config.model.vocab)) trainer.step(batch);
    EXPECT_EQ(waiting_calls(), before);
  }
}

TEST(CudaUpdatesOfAStep, ThatMakeAWeightTooLargeEndTheRunAtItsLastCommit) {
  for (const double delay : {0.0, 1.0}) {
    SCOPED_TRACE(delay);
    const TempFolder folder;
    RunSetting setting = kRunSettings[0];
    setting.delay = delay;
    Config config = config_of(setting, {"bf16", Dtype::bf16, UpdateRule::adamw, MomentFormat::fp32, 1.0, 0.0}, folder);
    const std::vector<Batch> batches = random_batches(4, kRunMicroBatches, config.model.vocab);
    launch_on_fake_gpu(1);
    expect_unstorable_weight_ends_the_run(config, batches, on_fake_gpu(1, {}, {.make_updates = cuda::make_updates}));
  }
}

TEST(CudaUpdatesOfAStep, WithoutKernelsAreRefused) {
  const TempFolder folder;
  const Config config = config_of(kRunSettings[0], {"fp32", Dtype::fp32, UpdateRule::adamw, MomentFormat::fp32, 0.5, 0.0}, folder);
  try {
    Trainer trainer(models::make(config.model), config, on_fake_gpu(1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("placement.update"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gsnake::test
