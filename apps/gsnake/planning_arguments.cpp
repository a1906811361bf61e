#include "planning_arguments.h"

#include <spdlog/spdlog.h>

#include <functional>

#include "config/load.h"
#include "device/named_device.h"

namespace gsnake::command {

void add_planning_options(CLI::App& command, PlanningArguments& arguments) {
  command.add_option("CONFIG", arguments.config, "config file (TOML; docs/config.md)")->required();
  command.add_option("--set", arguments.overrides, "change a key of the config: train.micro_batches=4 (can be repeated)")
      ->option_text("KEY=VALUE ...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--auto", arguments.automatic, "placements, delay and budgets that the config leaves out are chosen as well");
  command.add_option("--machine", arguments.machine, "a machine profile (TOML; docs/planner.md); default: this machine's own")->option_text("PROFILE");
  command.add_option("--base-format", arguments.base_format, "beside a base in this format that need not exist: nf4, or nf4,bf16 with that of embeddings and head")->option_text("FORMAT");
  command.add_flag("--json", arguments.json, "print JSON");
}

namespace {

// Of what is said over and over, the first time.
std::function<void(const std::string&)> say_changes() {
  return [said = std::make_shared<std::string>()](const std::string& what) {
    if (*said != what) spdlog::info("{}", what);
    *said = what;
  };
}

}  // namespace

Config load_config(const PlanningArguments& arguments) {
  return config::load(arguments.config, arguments.overrides, {}, arguments.automatic ? Config::automatic() : Config());
}

Planning prepare_planning(const Config& config, const PlanningArguments& arguments, train::Measuring measuring) {
  if (arguments.machine.empty() && arguments.computes) device::require_device(config.memory.device);
  train::MachineRequest request;
  request.file = arguments.machine;
  request.measuring = measuring;
  request.computes = arguments.computes;
  request.finds_peaks = arguments.computes && arguments.machine.empty();
  request.seconds = arguments.seconds;
  request.base_format = arguments.base_format;
  request.told = say_changes();
  Planning planning{models::make(config), nullptr};
  planning.basis = train::planning_basis(planning.model, config, request);
  return planning;
}

}  // namespace gsnake::command
