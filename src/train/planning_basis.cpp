#include "train/planning_basis.h"

#include "core/free_memory.h"
#include "greedysnake/error.h"
#include "convert/quantize.h"
#include "greedysnake/models.h"
#include "model/layout.h"
#include "plan/base_layout.h"
#include "train/rank_devices.h"
#include "train/session.h"

namespace gsnake::train {
namespace {

// As with a base of the whole model in these formats.
plan::ModelLayout layout_beside(const Model& model, const Config& config, const std::string& formats) {
  if (!config.adapter.present()) throw Error(ErrorKind::usage, "--base-format: the config has no [adapter] to train beside a base");
  const Model whole = models::make(config.model);
  plan::ModelLayout layout = model::layout_of(model, config.optimizer.decay_1d);
  plan::pack(layout, convert::base_manifest(whole, model::layout_of(whole, false), convert::base_formats(formats)), "--base-format " + formats);
  return layout;
}

// Whatever is left to choose.
Config with_moments(Config config) {
  config.optimizer.moments = MomentFormat::fp32;
  return config;
}

}  // namespace

std::unique_ptr<PlanningBasis> planning_basis(Model& model, const Config& config, const MachineRequest& request) {
  auto basis = std::make_unique<PlanningBasis>();
  basis->layout = request.base_format.empty() ? layout_of(model, config, plan::open_base(config)) : layout_beside(model, config, request.base_format);
  std::optional<KnownMachine> machine = known_machine(model, config, basis->layout, request);
  if (!machine) throw Error(ErrorKind::usage, "this machine was never measured for these SSD paths: run `gsnake plan` with this config, or name a profile with --machine (docs/planner.md)");
  basis->profile = std::move(machine->profile);
  basis->setting.layout = &basis->layout;
  basis->setting.peaks = std::move(machine->peaks);
  // Of somebody else's machine the profile tells what computes.
  const bool on_cpu = request.file.empty() ? config.memory.device == "cpu" : basis->profile.compute.device == "cpu";
  basis->setting.rank_buffers = rank_buffers(with_moments(config), basis->layout, !on_cpu);
  const std::uint64_t memory = request.file.empty() ? core::free_host_bytes() : basis->profile.cpu.memory;
  basis->setting.one_memory = plan::share_of_one_memory(basis->profile.compute.unified, memory, config);
  basis->setting.native = on_cpu ? plan::native_dtypes(config) : plan::NativeDtypes{true, true};
  return basis;
}

}  // namespace gsnake::train
