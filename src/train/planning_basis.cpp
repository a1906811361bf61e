#include "train/planning_basis.h"

#include "greedysnake/error.h"
#include "plan/base_layout.h"
#include "train/session.h"

namespace gsnake::train {

std::unique_ptr<PlanningBasis> planning_basis(Model& model, const Config& config, const MachineRequest& request) {
  auto basis = std::make_unique<PlanningBasis>();
  basis->layout = layout_of(model, config, plan::open_base(config));
  std::optional<KnownMachine> machine = known_machine(model, config, basis->layout, request);
  if (!machine) throw Error(ErrorKind::usage, "this machine was never measured for these SSD paths: run `gsnake plan` with this config, or name a profile with --machine (docs/planner.md)");
  basis->profile = std::move(machine->profile);
  basis->setting.layout = &basis->layout;
  basis->setting.peaks = std::move(machine->peaks);
  // Of somebody else's machine the profile tells what computes.
  const bool on_cpu = request.file.empty() ? config.memory.device == "cpu" : basis->profile.compute.device == "cpu";
  basis->setting.native = on_cpu ? plan::native_dtypes(config) : plan::NativeDtypes{true, true};
  return basis;
}

}  // namespace gsnake::train
