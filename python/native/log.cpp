#include "greedysnake/log.h"

#include <cstdio>
#include <string>
#include <utility>

#include "bindings.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

int level_of(LogLevel level) {
  // logging.DEBUG, INFO, WARNING, ERROR; trace is below DEBUG.
  constexpr int kLevels[] = {5, 10, 20, 30, 40};
  return kLevels[static_cast<int>(level)];
}

// The sink's own lock is held when it is called, and it waits for the interpreter's: whatever may log lets go of the latter.
void log_to(nb::object log, int least) {
  // A reference for good: messages may come until the process ends.
  PyObject* callable = log.release().ptr();
  LogLevel from = LogLevel::error;
  for (const LogLevel level : {LogLevel::warn, LogLevel::info, LogLevel::debug, LogLevel::trace}) {
    if (level_of(level) >= least) from = level;
  }
  const nb::gil_scoped_release unlocked;
  set_log_sink(
      [callable](LogLevel level, const std::string& message) {
        if (Py_IsInitialized() == 0) {
          std::fprintf(stderr, "greedysnake: %s\n", message.c_str());
          return;
        }
        const nb::gil_scoped_acquire lock;
        PyObject* result = PyObject_CallFunction(callable, "is", level_of(level), message.c_str());
        if (result == nullptr) {
          // Ctrl-C that fell in here is still to be seen to.
          const bool interrupted = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
          if (interrupted) {
            PyErr_Clear();
            PyErr_SetInterrupt();
          } else {
            PyErr_WriteUnraisable(callable);
          }
        } else {
          Py_DECREF(result);
        }
      },
      from);
}

void stop_logging() {
  const nb::gil_scoped_release unlocked;
  set_log_sink({});
}

}  // namespace

void bind_log(nb::module_& module) {
  module.def("log_to", &log_to, nb::arg("log"), nb::arg("least"));
  module.def("stop_logging", &stop_logging);
}

}  // namespace gsnake::python
