// What LibTorch throws of a GPU, and what it is told of one.
#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <functional>
#include <stdexcept>

#include "greedysnake/error.h"
#include "torch/gpu_errors.h"
#include "torch/gpu_settings.h"

namespace gsnake::backend {
namespace {

using testing::HasSubstr;
using testing::Not;

void rethrown(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    rethrow_of_gpu("cuda:1");
  }
}

Error error_of(const std::function<void()>& work) {
  try {
    rethrown(work);
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("no Error was thrown");
}

TEST(GpuErrors, OfMemoryAreTheBudgets) {
  const Error error = error_of([] { throw c10::OutOfMemoryError({"f", "file", 1}, "CUDA out of memory. Tried to allocate 2.00 MiB"); });
  EXPECT_EQ(error.kind(), ErrorKind::budget);
  EXPECT_THAT(error.what(), HasSubstr("cuda:1"));
  EXPECT_THAT(error.what(), HasSubstr("Tried to allocate 2.00 MiB"));
  EXPECT_THAT(error.what(), HasSubstr("raise memory.device_budget"));
}

TEST(GpuErrors, OfTheDeviceAndItsLibrariesAreTheDevices) {
  for (const auto& thrown : {std::function<void()>([] { throw c10::AcceleratorError({"f", "file", 1}, 700, "an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA"); }),
                             std::function<void()>([] { throw c10::Error({"f", "file", 1}, "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"); })}) {
    const Error error = error_of(thrown);
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_THAT(error.what(), HasSubstr("cuda:1"));
    EXPECT_THAT(error.what(), HasSubstr("goes on from its last commit"));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
  }
}

TEST(GpuErrors, OfAnythingElseStayWhatTheyAre) {
  EXPECT_THROW(rethrown([] { throw c10::Error({"f", "file", 1}, "sizes of tensors must match"); }), c10::Error);
  EXPECT_THROW(rethrown([] { throw std::out_of_range("x"); }), std::out_of_range);
  EXPECT_THROW(rethrown([] { throw Error(ErrorKind::usage, "x"); }), Error);
}

// As of two trainers on two GPUs.
TEST(GpuSettings, HoldWhileAnyScopeAsksForThem) {
  at::Context& context = at::globalContext();
  const bool before = context.deterministicAlgorithms();
  const bool cudnn = context.userEnabledCuDNNSDP();
  {
    auto first = std::make_unique<GpuSettings>(true, true);
    auto second = std::make_unique<GpuSettings>(true, false);
    EXPECT_TRUE(context.deterministicAlgorithms());
    EXPECT_FALSE(context.userEnabledCuDNNSDP());
    first.reset();
    EXPECT_FALSE(context.deterministicAlgorithms());
    EXPECT_FALSE(context.userEnabledCuDNNSDP()) << "the other still computes";
    first = std::make_unique<GpuSettings>(true, true);
    EXPECT_TRUE(context.deterministicAlgorithms());
    second.reset();
    EXPECT_TRUE(context.deterministicAlgorithms());
  }
  EXPECT_EQ(context.deterministicAlgorithms(), before);
  EXPECT_EQ(context.userEnabledCuDNNSDP(), cudnn);
}

TEST(GpuSettings, AreNothingToTheCpu) {
  const bool cudnn = at::globalContext().userEnabledCuDNNSDP();
  const GpuSettings none(false, true);
  EXPECT_EQ(at::globalContext().userEnabledCuDNNSDP(), cudnn);
}

}  // namespace
}  // namespace gsnake::backend
