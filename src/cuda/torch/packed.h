// The kernels for packed weights on LibTorch's tensors and current stream.
#pragma once

#include "torch/packed_ops.h"

namespace gsnake::cuda {

const backend::PackedOps& packed_ops();

}  // namespace gsnake::cuda
