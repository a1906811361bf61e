#include "batches.h"

#include <nanobind/stl/vector.h>

#include <string>

#include "greedysnake/error.h"
#include "tensors.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

std::vector<std::vector<std::int32_t>> starts_of(nb::handle starts) {
  if (starts.is_none()) return {};
  return nb::cast<std::vector<std::vector<std::int32_t>>>(starts);
}

}  // namespace

Ids::Ids(nb::handle value, const char* what) {
  owner_ = nb::module_::import_("torch").attr("as_tensor")(value);
  torch::Tensor tensor = to_tensor(owner_, what);
  if (at::isFloatingType(tensor.scalar_type()) || at::isComplexType(tensor.scalar_type())) {
    throw Error(ErrorKind::usage, std::string(what) + " holds " + c10::toString(tensor.scalar_type()) + " numbers; token ids are int64");
  }
  if (!tensor.is_contiguous() || tensor.scalar_type() != torch::kInt64 || !tensor.is_cpu()) {
    tensor = tensor.to(torch::kCPU, torch::kInt64).contiguous();
    owner_ = to_python(tensor);
  }
  data_ = tensor.const_data_ptr<std::int64_t>();
  size_ = static_cast<std::size_t>(tensor.numel());
}

PythonBatch::PythonBatch(nb::handle inputs, nb::handle labels, nb::handle starts) : inputs_(inputs, "inputs"), labels_(labels, "labels"), starts_(starts_of(starts)) {}

}  // namespace gsnake::python
