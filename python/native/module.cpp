#include <nanobind/nanobind.h>
#include <torch/version.h>

#include "bindings.h"
#include "greedysnake/version.h"

NB_MODULE(_native, module) {
  using namespace gsnake::python;
  module.attr("version") = gsnake::version();
  module.attr("torch_version") = TORCH_VERSION;  // that this was compiled with
  bind_errors(module);
  bind_log(module);
  bind_config(module);
  bind_trainer(module);
  bind_run(module);
  bind_transfer(module);
  bind_generator(module);
}
