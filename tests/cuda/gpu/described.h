// Tensors as a device sees them: an address and a shape, without a reference that would keep memory alive.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace gsnake::fake_gpu {

struct Described {
  bool defined = false;
  bool wrapped_number = false;
  bool written = false;
  char* storage = nullptr;  // as CUDA handed it out
  std::size_t storage_bytes = 0;
  std::int64_t offset = 0;
  at::ScalarType dtype = at::kFloat;
  c10::SmallVector<std::int64_t, 5> sizes;
  c10::SmallVector<std::int64_t, 5> strides;

  [[nodiscard]] std::int64_t span_bytes() const;  // from its first element to its last
  [[nodiscard]] char* first() const { return storage + offset * static_cast<std::int64_t>(c10::elementSize(dtype)); }
};

Described describe(const at::Tensor& tensor, bool written);

// That an operation touches it: reported where its memory is not live, and told to ThreadSanitizer.
void touch(const Described& tensor);

// CPU tensors over the device's memory as the device sees it; those of one operation that share a storage share one here.
class Views {
 public:
  at::Tensor of(const Described& tensor);

 private:
  std::vector<std::pair<char*, c10::Storage>> storages_;
};

}  // namespace gsnake::fake_gpu
