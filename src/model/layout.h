// From a model to the plain data that plans, stores and schedules are made of.
#pragma once

#include "greedysnake/unit.h"
#include "plan/model_layout.h"

namespace gsnake::model {

// Throws Error(usage) when the model is not an embedding, units and a head, or a tied parameter does not exist.
plan::ModelLayout layout_of(const Model& model, bool decay_1d);

// For messages: "unit 3 (block)".
std::string name_of_unit(const Model& model, int unit);

}  // namespace gsnake::model
