#include "plan/compute_dtype.h"

#include <gtest/gtest.h>

namespace gsnake::plan {
namespace {

TEST(ComputeDtype, IsBf16OnlyForBf16OnACpuThatHasTheUnits) {
  EXPECT_EQ(resolve_compute_dtype(Dtype::bf16, ComputeDtype::automatic, {.bf16 = true}), Dtype::bf16);
  EXPECT_EQ(resolve_compute_dtype(Dtype::bf16, ComputeDtype::automatic, {}), Dtype::fp32);
  EXPECT_EQ(resolve_compute_dtype(Dtype::bf16, ComputeDtype::fp32, {.bf16 = true}), Dtype::fp32);
  for (const bool units : {false, true}) {
    EXPECT_EQ(resolve_compute_dtype(Dtype::fp32, ComputeDtype::automatic, {.bf16 = units}), Dtype::fp32);
    EXPECT_EQ(resolve_compute_dtype(Dtype::fp16, ComputeDtype::automatic, {.bf16 = units}), Dtype::fp32);
  }
}

}  // namespace
}  // namespace gsnake::plan
