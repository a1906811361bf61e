// A step's token ids are the caller's again as soon as the step has been started.
#include <gtest/gtest.h>

#include "device/async_device.h"
#include "greedysnake/error.h"
#include "runtime/rig.h"

namespace gsnake::runtime::test {
namespace {

// Two steps in flight, and the caller overwrites its ids at once.
std::vector<double> losses(device::Device& device, bool overwrites) {
  Rig rig(ssd_setup(), device);
  rig.load();
  std::vector<double> all;
  std::vector<Started*> steps;
  const auto settle = [&](const Started& step) {
    rig.executor().wait_results(step.ticket);
    all.insert(all.end(), step.batch.losses.begin(), step.batch.losses.end());
  };
  for (int i = 0; i < 6; ++i) {
    steps.push_back(i == 3 ? &rig.validate() : &rig.train());
    if (overwrites) {
      std::fill(steps.back()->inputs.begin(), steps.back()->inputs.end(), 7);
      std::fill(steps.back()->labels.begin(), steps.back()->labels.end(), 3);
    }
    if (i > 0) settle(*steps[static_cast<std::size_t>(i - 1)]);
  }
  settle(*steps.back());
  return all;
}

TEST(Batch, IsCopiedWhenItsStepIsStarted) {
  const auto cpu = device::make_cpu_device();
  const std::vector<double> expected = losses(*cpu, false);
  EXPECT_EQ(losses(*cpu, true), expected);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    device::AsyncDevice late({.seed = seed});
    EXPECT_EQ(losses(late, true), expected);
  }
}

TEST(Batch, ThatIsLargerThanPlannedIsRefused) {
  const auto device = device::make_cpu_device();
  const auto setup = ssd_setup();
  Rig rig(setup, *device);
  rig.load();
  const std::vector<std::int64_t> ids(static_cast<std::size_t>(setup.problem.micro_batches * kTokens + 1), 1);
  StepBatch batch;
  batch.step = 1;
  batch.inputs = ids;
  EXPECT_THROW(rig.executor().train(batch), std::logic_error);
}

}  // namespace
}  // namespace gsnake::runtime::test
