// What module.cpp puts together. The package in greedysnake/ wraps all of it: names here are not for users.
#pragma once

#include <nanobind/nanobind.h>

namespace gsnake::python {

void bind_errors(nanobind::module_& module);
void bind_log(nanobind::module_& module);
void bind_config(nanobind::module_& module);
void bind_trainer(nanobind::module_& module);
void bind_run(nanobind::module_& module);
void bind_transfer(nanobind::module_& module);
void bind_generator(nanobind::module_& module);

}  // namespace gsnake::python
