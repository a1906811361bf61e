#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.h"
#include "greedysnake/config.h"

namespace gsnake::python {

namespace nb = nanobind;

// Reading may log, and the log wants the interpreter's lock. Opaque to Python: greedysnake/config.py makes them and reads them as JSON.
void bind_config(nb::module_& module) {
  nb::class_<Config>(module, "Config")
      .def_static("load", &Config::load, nb::arg("path"), nb::arg("overrides"), nb::call_guard<nb::gil_scoped_release>())
      .def_static("parse", &Config::parse, nb::arg("toml"), nb::arg("base_dir"), nb::arg("overrides"), nb::call_guard<nb::gil_scoped_release>())
      .def("to_json", &Config::to_json)
      .def("batch_shape", [](const Config& config) {
        return nb::make_tuple(config.train.micro_batches, config.train.micro_batch_size, config.train.sequence_length);
      });
}

}  // namespace gsnake::python
