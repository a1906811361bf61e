// Runs on a GPU whose memory is the host's own.
#include <gmock/gmock.h>

#include "fake/control.h"
#include "hf/logged.h"
#include "schedule/traffic.h"
#include "train/cuda_run.h"
#include "train/session.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class OneMemory : public testing::Test {
 protected:
  ~OneMemory() override { fake_cuda_integrate(0); }
  static Config config_with(const TierFractions& activations, const TempFolder& folder) {
    Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::bf16, folder);
    config.placement.activations = activations;
    return config;
  }
  struct Copied {
    std::uint64_t h2d = 0;
    std::uint64_t d2h = 0;
    std::vector<double> losses;
  };
  static Copied run(const TierFractions& activations, bool one_memory) {
    const TempFolder folder;
    const Config config = config_with(activations, folder);
    fake_cuda_integrate(one_memory ? 1 : 0);
    Trainer trainer(models::make(config.model), config, on_fake_gpu(3));
    Copied copied;
    for (const Batch& batch : random_batches(3, kRunMicroBatches, config.model.vocab)) {
      trainer.take_traffic();
      copied.losses.push_back(trainer.step(batch).loss);
      const Traffic traffic = trainer.take_traffic();
      copied.h2d = traffic.h2d_bytes;
      copied.d2h = traffic.d2h_bytes;
    }
    return copied;
  }
};

TEST_F(OneMemory, ARunCopiesNoActivationsAndGivesTheSameLosses) {
  const Copied apart = run({0.0, 1.0}, false);
  const Copied here = run({0.0, 1.0}, true);
  const Copied on_device = run({1.0, 0.0}, false);
  EXPECT_EQ(here.losses, apart.losses);
  EXPECT_LT(here.h2d, apart.h2d);
  EXPECT_LT(here.d2h, apart.d2h);
  EXPECT_EQ(here.h2d, on_device.h2d) << "nothing of activations is left";
  EXPECT_EQ(here.d2h, on_device.d2h);
}

TEST_F(OneMemory, ARunSaysSoOnceAndKeepsWhatIsOnSsdThere) {
  const TempFolder folder;
  const Config config = config_with({0.0, 0.5}, folder);
  fake_cuda_integrate(1);
  const Logged logged;
  const train::Session session(models::make(config.model), config, train::Purpose::train, *on_fake_gpu(0).parts);
  EXPECT_THAT(logged.text(), HasSubstr("cuda:0: its memory is the host's own, so activations that placement.activations has in host memory stay on the device\n"));
  EXPECT_EQ(session.problem.activations.device, 0.5);
  EXPECT_EQ(session.problem.activations.host, 0.0);
  EXPECT_GT(schedule::training_traffic(session.problem).activations.ssd_write, 0U);
  EXPECT_EQ(session.config.placement.activations.host, 0.5) << "the config is as it was given";
}

}  // namespace
}  // namespace gsnake::test
