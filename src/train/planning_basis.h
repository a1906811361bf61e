// What plans and predictions of a config are made from: a model as plans see it, and a machine.
#pragma once

#include <memory>

#include "plan/requirements.h"
#include "train/known_machine.h"

namespace gsnake::train {

// The setting refers to the layout beside it.
struct PlanningBasis {
  PlanningBasis() = default;
  PlanningBasis(const PlanningBasis&) = delete;
  PlanningBasis& operator=(const PlanningBasis&) = delete;

  plan::ModelLayout layout;
  plan::Setting setting;
  sim::MachineProfile profile;
};

// Throws Error(usage) where the profile that `request` names can't be used, or none is there and none is to be measured. The model is borrowed
// for the call.
std::unique_ptr<PlanningBasis> planning_basis(Model& model, const Config& config, const MachineRequest& request);

}  // namespace gsnake::train
