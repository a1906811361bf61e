#include "torch/packed_ops.h"

#include <algorithm>
#include <span>
#include <string>

#include "greedysnake/error.h"
#include "torch/parallel.h"

namespace gsnake::backend {
namespace {

constexpr std::int64_t kElementsAThread = 1 << 16;

void run(const PackedTensor& tensor, std::int64_t first, std::int64_t count, at::ScalarType dtype, std::byte* out) {
  const auto elements = static_cast<std::uint64_t>(tensor.elements());
  const auto begin = static_cast<std::uint64_t>(first);
  const auto size = static_cast<std::size_t>(count);
  if (dtype == torch::kFloat32) return quant::dequantise(tensor.format, tensor.at, elements, begin, std::span(reinterpret_cast<float*>(out), size));
  quant::dequantise(tensor.format, tensor.at, elements, begin, std::span(reinterpret_cast<std::uint16_t*>(out), size));
}

class CpuPackedOps final : public PackedOps {
 public:
  void dequantise(const PackedTensor& tensor, std::int64_t first, std::int64_t count, at::ScalarType dtype, std::byte* out) const override {
    const auto width = static_cast<std::int64_t>(c10::elementSize(dtype));
    parallel_for(count, kElementsAThread, [&](std::int64_t begin, std::int64_t end) { run(tensor, first + begin, end - begin, dtype, out + begin * width); });
  }

  void gather(const PackedTensor& tensor, const torch::Tensor& ids, torch::Tensor& out) const override {
    const auto* wanted = ids.const_data_ptr<std::int64_t>();
    const std::int64_t count = ids.numel();
    for (std::int64_t i = 0; i < count; ++i) {
      if (wanted[i] < 0 || wanted[i] >= tensor.rows) {
        throw Error(ErrorKind::usage, "token id " + std::to_string(wanted[i]) + " is not below the embedding's " + std::to_string(tensor.rows));
      }
    }
    auto* to = static_cast<std::byte*>(out.mutable_data_ptr());
    const std::int64_t row_bytes = tensor.columns * static_cast<std::int64_t>(out.element_size());
    parallel_for(count, std::max<std::int64_t>(1, kElementsAThread / tensor.columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) run(tensor, wanted[i] * tensor.columns, tensor.columns, out.scalar_type(), to + i * row_bytes);
    });
  }
};

}  // namespace

const PackedOps& cpu_packed_ops() {
  static const CpuPackedOps ops;
  return ops;
}

}  // namespace gsnake::backend
