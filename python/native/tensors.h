// torch.Tensor in Python and torch::Tensor here, as one object. Only what a stable ABI of Python has is asked of Python.
#pragma once

#include <nanobind/nanobind.h>
#include <torch/torch.h>

#include <string>

namespace gsnake::python {

namespace nb = nanobind;

// The same tensor, not a copy. The interpreter's lock is held.
nb::object to_python(const torch::Tensor& tensor);
// `what` names the value in the message. Throws Error(usage) for what is no torch.Tensor.
torch::Tensor to_tensor(nb::handle value, const std::string& what);

}  // namespace gsnake::python
