#include "tensors.h"

#include "greedysnake/error.h"

// Of libtorch_python. Its header asks for more of Python than the stable ABI has.
PyObject* THPVariable_Wrap(const at::TensorBase& tensor);
extern PyObject* THPVariableClass;

namespace gsnake::python {

nb::object to_python(const torch::Tensor& tensor) {
  PyObject* wrapped = THPVariable_Wrap(tensor);
  if (wrapped == nullptr) throw nb::python_error();
  return nb::steal(wrapped);
}

torch::Tensor to_tensor(nb::handle value, const std::string& what) {
  if (THPVariableClass == nullptr || !nb::isinstance(value, nb::handle(THPVariableClass))) {
    throw Error(ErrorKind::usage, what + " is a " + nb::type_name(value.type()).c_str() + "; it must be a torch.Tensor");
  }
  // The address of the TensorImpl, which the Python object keeps alive meanwhile.
  auto* implementation = reinterpret_cast<at::TensorImpl*>(nb::cast<std::uintptr_t>(value.attr("_cdata")));
  return torch::Tensor(at::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim_copy(implementation));
}

}  // namespace gsnake::python
