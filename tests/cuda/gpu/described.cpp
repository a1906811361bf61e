#include "gpu/described.h"

#include "fake/control.h"

extern "C" void __tsan_read_range(void*, unsigned long) __attribute__((weak));
extern "C" void __tsan_write_range(void*, unsigned long) __attribute__((weak));

namespace gsnake::fake_gpu {

std::int64_t Described::span_bytes() const {
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return 0;
    elements += (sizes[i] - 1) * strides[i];
  }
  return elements * static_cast<std::int64_t>(c10::elementSize(dtype));
}

Described describe(const at::Tensor& tensor, bool written) {
  Described described;
  described.defined = tensor.defined();
  described.written = written;
  if (!tensor.defined()) return described;
  TORCH_CHECK(tensor.layout() == c10::kStrided && !tensor.is_conj() && !tensor.is_neg(), "fake GPU: plain strided tensors only");
  described.storage = static_cast<char*>(const_cast<void*>(tensor.storage().data()));
  described.storage_bytes = tensor.storage().nbytes();
  described.offset = tensor.storage_offset();
  described.dtype = tensor.scalar_type();
  described.sizes.assign(tensor.sizes().begin(), tensor.sizes().end());
  described.strides.assign(tensor.strides().begin(), tensor.strides().end());
  described.wrapped_number = tensor.unsafeGetTensorImpl()->is_wrapped_number();
  return described;
}

void touch(const Described& tensor) {
  const std::int64_t bytes = tensor.defined ? tensor.span_bytes() : 0;
  if (bytes == 0) return;
  fake_cuda_uses(tensor.first(), static_cast<std::size_t>(bytes));
  void* real = fake_cuda_real(tensor.first());
  if (tensor.written && __tsan_write_range != nullptr) __tsan_write_range(real, static_cast<unsigned long>(bytes));
  if (!tensor.written && __tsan_read_range != nullptr) __tsan_read_range(real, static_cast<unsigned long>(bytes));
}

at::Tensor Views::of(const Described& tensor) {
  if (!tensor.defined) return {};
  c10::Storage storage;
  for (const auto& [place, seen] : storages_) {
    if (place == tensor.storage) storage = seen;
  }
  if (!storage) {
    storage = c10::Storage(c10::Storage::use_byte_size_t(), tensor.storage_bytes, at::DataPtr(fake_cuda_real(tensor.storage), c10::kCPU), nullptr, false);
    storages_.emplace_back(tensor.storage, storage);
  }
  at::Tensor view = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), c10::scalarTypeToTypeMeta(tensor.dtype));
  view.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes, tensor.strides, tensor.offset);
  if (tensor.wrapped_number) view.unsafeGetTensorImpl()->set_wrapped_number(true);
  return view;
}

}  // namespace gsnake::fake_gpu
