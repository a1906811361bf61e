#include "cuda/torch/packed.h"

#include "cuda/torch/launching.h"
#include "kernels/dequantise.h"

namespace gsnake::cuda {
namespace {

kernels::PackedFormat format_of(const backend::PackedTensor& tensor) { return static_cast<kernels::PackedFormat>(tensor.format); }
static_assert(static_cast<int>(kernels::PackedFormat::mxfp4) == static_cast<int>(quant::Format::mxfp4));

class CudaPackedOps final : public backend::PackedOps {
 public:
  void dequantise(const backend::PackedTensor& tensor, std::int64_t first, std::int64_t count, at::ScalarType dtype, std::byte* out) const override {
    const kernels::DequantiseCall call{format_of(tensor), tensor.at, tensor.elements(), first, count, out, dtype_of(dtype)};
    C10_CUDA_CHECK(kernels::dequantise(call, c10::cuda::getCurrentCUDAStream().stream()));
  }

  void gather(const backend::PackedTensor& tensor, const torch::Tensor& ids, torch::Tensor& out) const override {
    const kernels::GatherCall call{format_of(tensor), tensor.at, tensor.rows, tensor.columns, ids.const_data_ptr<std::int64_t>(), ids.numel(), out.mutable_data_ptr(),
                                   dtype_of(out.scalar_type())};
    C10_CUDA_CHECK(kernels::gather(call, current_stream(out)));
  }
};

}  // namespace

const backend::PackedOps& packed_ops() {
  static const CudaPackedOps ops;
  return ops;
}

}  // namespace gsnake::cuda
