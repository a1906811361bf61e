#include "torch/dtype.h"

#include <gtest/gtest.h>

#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

TEST(ComputeDtype, IsBf16OnlyForBf16OnACpuThatHasTheUnits) {
  EXPECT_EQ(resolve_compute_dtype("bf16", "auto", true), at::kBFloat16);
  EXPECT_EQ(resolve_compute_dtype("bf16", "auto", false), at::kFloat);
  EXPECT_EQ(resolve_compute_dtype("bf16", "fp32", true), at::kFloat);
  for (const bool units : {false, true}) {
    EXPECT_EQ(resolve_compute_dtype("fp32", "auto", units), at::kFloat);
    EXPECT_EQ(resolve_compute_dtype("fp16", "auto", units), at::kFloat);
  }
}

TEST(ComputeDtype, RefusesOtherNamesWithTheKey) {
  const auto message = [](const char* dtype, const char* compute) -> std::string {
    try {
      resolve_compute_dtype(dtype, compute, true);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(message("fp8", "auto").find("train.dtype = \"fp8\""), std::string::npos);
  EXPECT_NE(message("bf16", "bf16").find("train.compute_dtype = \"bf16\""), std::string::npos);
}

TEST(ComputeDtype, NamesAreTheConfigs) {
  for (const char* name : {"fp32", "bf16", "fp16"}) EXPECT_STREQ(dtype_name(dtype_of(name)), name);
}

}  // namespace
}  // namespace gsnake::backend
