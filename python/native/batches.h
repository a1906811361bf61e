// Token ids from Python: torch tensors, anything with a buffer (numpy), lists.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <span>
#include <vector>

#include "greedysnake/batch.h"

namespace gsnake::python {

// A contiguous int64 array of any shape. Borrows the memory of `value` where it is one on the CPU, else holds a copy made by torch.as_tensor(). The
// interpreter's lock is held; after construction none is needed. Throws Error(usage) naming `what`.
class Ids {
 public:
  Ids(nanobind::handle value, const char* what);
  [[nodiscard]] std::span<const std::int64_t> values() const { return {data_, size_}; }

 private:
  nanobind::object owner_;
  const std::int64_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// inputs and labels of one batch, and where documents begin (None: every row is one).
class PythonBatch {
 public:
  PythonBatch(nanobind::handle inputs, nanobind::handle labels, nanobind::handle starts);
  [[nodiscard]] BatchView view() const { return {inputs_.values(), labels_.values(), starts_}; }

 private:
  Ids inputs_;
  Ids labels_;
  std::vector<std::vector<std::int32_t>> starts_;
};

}  // namespace gsnake::python
