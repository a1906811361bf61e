// What the library tells, as dictionaries whose keys are the fields of the dataclasses in greedysnake/results.py.
#pragma once

#include <nanobind/nanobind.h>

#include "greedysnake/hugging_face.h"
#include "greedysnake/results.h"
#include "greedysnake/run.h"

namespace gsnake::python {

nanobind::dict to_dict(const StepResult& result);
nanobind::dict to_dict(const Traffic& traffic);
nanobind::dict to_dict(const RunReport& report);
nanobind::dict to_dict(const RunOutcome& outcome);
nanobind::dict to_dict(const TransferReport& report);
nanobind::dict to_dict(const BaseReport& report);

}  // namespace gsnake::python
