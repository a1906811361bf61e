#include "bindings.h"

#include <exception>
#include <stdexcept>
#include <typeinfo>

#include "greedysnake/error.h"
#include "raised.h"
#include "results.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

// By the kind's number, the class that errors.py has for it. A reference of the module's own, which is never unloaded.
PyObject* classes = nullptr;

void raise(const Error& error) {
  nb::object type = nb::borrow(classes)[nb::int_(error.exit_status())];
  const auto* non_finite = dynamic_cast<const NonFiniteError*>(&error);
  nb::object raised = non_finite == nullptr ? type(error.what()) : type(error.what(), to_dict(non_finite->result()));
  if (error.code()) nb::setattr(raised, "errno", nb::int_(error.code().value()));
  PyErr_SetObject(type.ptr(), raised.ptr());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const RaisedInPython& error) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.value().ptr())), error.value().ptr());
  } catch (const Error& error) {
    raise(error);
  } catch (const std::logic_error& error) {
    // Calls in an order that can't be. Those derived from it have exceptions of Python's own.
    if (typeid(error) != typeid(std::logic_error)) throw;
    raise(Error(ErrorKind::usage, error.what()));
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  module.def("set_error_classes", [](nb::dict by_status) { classes = by_status.release().ptr(); }, nb::arg("by_status"));
  nb::register_exception_translator(translate);
}

}  // namespace gsnake::python
