#include "model/fused.h"

#include <atomic>

namespace gsnake::model {
namespace {

std::atomic<const FusedOps*> of_cuda{nullptr};

}  // namespace

void set_fused_ops(const FusedOps* ops) { of_cuda = ops; }
const FusedOps* fused_ops(const torch::Tensor& tensor) { return tensor.is_cuda() ? of_cuda.load(std::memory_order_relaxed) : nullptr; }

}  // namespace gsnake::model
