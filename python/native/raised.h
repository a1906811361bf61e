// Python objects that C++ keeps, and exceptions of Python's that pass through the library.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace gsnake::python {

// A reference that may be dropped on any thread; after the interpreter's end it is left alone, as is what it refers to.
class Reference {
 public:
  explicit Reference(nanobind::object object) : object_(object.release().ptr()) {}
  ~Reference() {
    if (Py_IsInitialized() == 0) return;
    const nanobind::gil_scoped_acquire lock;
    Py_DECREF(object_);
  }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;
  [[nodiscard]] nanobind::handle get() const { return object_; }

 private:
  PyObject* object_;
};

// What a callback raised. The library keeps a failure and throws it at every later call: nanobind's own exception can be raised once.
class RaisedInPython : public std::exception {
 public:
  // The interpreter's lock is held.
  explicit RaisedInPython(const nanobind::python_error& error) : value_(std::make_shared<Reference>(nanobind::borrow(error.value()))), what_(error.what()) {}
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }
  [[nodiscard]] nanobind::handle value() const { return value_->get(); }

 private:
  std::shared_ptr<Reference> value_;
  std::string what_;
};

// Takes the interpreter's lock for `call`, which runs Python code. Throws RaisedInPython.
template <typename Call>
auto in_python(Call&& call) {
  const nanobind::gil_scoped_acquire lock;
  try {
    return call();
  } catch (const nanobind::python_error& error) {
    throw RaisedInPython(error);
  }
}

}  // namespace gsnake::python
