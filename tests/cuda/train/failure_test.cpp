// A call of CUDA's that fails in the middle of a run ends it once, by name, with the last commit whole.
#include <gtest/gtest.h>

#include "fake/control.h"
#include "train/cuda_run.h"

namespace gsnake::test {
namespace {

// A launch is LibTorch's, as its operators' are, and so is the error.
std::string told_of(const std::string& api) {
  if (api == "cudaLaunchHostFunc") return "cuda:0: CUDA error: ";
  return api == "cudaEventSynchronize" || api == "cudaEventQuery" ? "work given to it before" : api;
}

class CudaRunFailure : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { fake_cuda_mend(); }
};

TEST_P(CudaRunFailure, EndsTheRunAtItsLastCommit) {
  const std::string api = GetParam();
  const TempFolder folder;
  const Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::fp32, folder);
  const std::vector<Batch> batches = random_batches(4, kRunMicroBatches, config.model.vocab);
  const Outcome expected = train_in_memory(config, batches, reference::Order::snake);
  std::vector<double> losses;
  int failures = 0;
  while (losses.size() < batches.size() && failures < 3) {
    Trainer trainer(models::make(config.model), config, on_fake_gpu(1));
    losses.resize(static_cast<std::size_t>(trainer.completed_steps()));
    EXPECT_GE(losses.size(), failures > 0 ? 1U : 0U) << "the commit of step 1 is lost";
    try {
      while (losses.size() < batches.size()) {
        losses.push_back(trainer.step(batches[losses.size()]).loss);
        trainer.commit();
        if (losses.size() == 2 && failures == 0) fake_cuda_fail(api.c_str(), 7, cudaErrorLaunchFailure);
      }
    } catch (const Error& error) {
      ++failures;
      EXPECT_EQ(error.kind(), ErrorKind::device) << error.what();
      EXPECT_NE(std::string(error.what()).find(told_of(api)), std::string::npos) << error.what();
      EXPECT_THROW(trainer.step(batches[0]), std::exception);
    }
  }
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(losses, expected.losses);
}

INSTANTIATE_TEST_SUITE_P(Of, CudaRunFailure,
                         testing::Values("cudaMemcpyAsync", "cudaLaunchHostFunc", "cudaStreamWaitEvent", "cudaEventRecord", "cudaEventQuery", "cudaEventSynchronize"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace gsnake::test
