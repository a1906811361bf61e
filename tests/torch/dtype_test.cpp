#include "torch/dtype.h"

#include <gtest/gtest.h>

namespace gsnake::backend {
namespace {

TEST(ScalarType, NamesAreTheConfigs) {
  for (const Dtype dtype : {Dtype::fp32, Dtype::bf16, Dtype::fp16}) EXPECT_STREQ(dtype_name(scalar_type(dtype)), word_of(dtype));
}

}  // namespace
}  // namespace gsnake::backend
