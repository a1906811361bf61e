// Units whose code is a torch.nn.Module in Python. The C++ module beside it has the same parameters, the very tensors, under the same names: what the
// runtime binds to a slot is what the Python code computes with.
#pragma once

#include <nanobind/nanobind.h>

#include "greedysnake/unit.h"

namespace gsnake::python {

// What greedysnake/model.py says of a model: make_kinds() (of each its `name`, `module`, `flops_per_token` and the callable `initialize(unit)`, which
// gives the bound module its first values) and the attributes `unit_kinds`, `hidden`, `vocab`, `max_context`, `tied` and `tensor_names`. Keeps references to the modules. The
// interpreter's lock is held here; it is taken for a unit's forward pass, and let go of after it. Throws Error(usage).
Model to_model(nanobind::handle described);

}  // namespace gsnake::python
