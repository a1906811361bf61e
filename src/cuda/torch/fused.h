// This project's kernels as operations on LibTorch's tensors.
#pragma once

#include "model/fused.h"

namespace gsnake::cuda {

const model::FusedOps& fused_ops();

}  // namespace gsnake::cuda
