#include "planning_arguments.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <functional>
#include <utility>

#include "config/load.h"
#include "core/rates.h"
#include "device/named_device.h"
#include "greedysnake/error.h"
#include "greedysnake/ranks.h"
#include "train/rank_devices.h"

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
  constexpr int kMostRanks = 1 << 16;
  CLI::Option* ranks = command.add_option("--ranks", arguments.ranks, "as one of so many processes that train together; default: as torchrun's variables say, or one")
                           ->option_text("N")
                           ->check(CLI::Range(1, kMostRanks));
  command.add_option("--local-ranks", arguments.local_ranks, "so many of them share a machine: its cores, its memory, and drives whose path has no {local_rank}; default: all")
      ->option_text("L")
      ->check(CLI::Range(1, kMostRanks))
      ->needs(ranks);
  command.add_option("--link", arguments.link, "what each rank sends and receives a second, in place of what the profile says: \"12 GB/s\"")->option_text("RATE");
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

// The first of them: the others are like it.
RanksConfig ranks_of(const PlanningArguments& arguments, RanksConfig ranks) {
  if (arguments.ranks == 0) return ranks_of_environment(ranks);
  ranks.count = arguments.ranks;
  ranks.local_count = arguments.local_ranks > 0 ? arguments.local_ranks : arguments.ranks;
  if (ranks.local_count > ranks.count) throw Error(ErrorKind::usage, fmt::format("--local-ranks {}: there are {} ranks in all (--ranks)", ranks.local_count, ranks.count));
  return ranks;
}

void set_link(sim::MachineProfile& profile, const std::string& link) {
  if (link.empty()) return;
  const std::optional<double> rate = core::byte_rate_of(link);
  if (!rate || *rate <= 0.0) throw Error(ErrorKind::usage, fmt::format("--link {}: must be bytes a second, such as \"12 GB/s\"", link));
  profile.link.per_second = *rate;
}

}  // namespace

Config load_config(const PlanningArguments& arguments) {
  Config config = config::load(arguments.config, arguments.overrides, {}, arguments.automatic ? Config::automatic() : Config());
  config.ranks = ranks_of(arguments, config.ranks);
  config.validate();
  return train::with_own_device(std::move(config));
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
  set_link(planning.basis->profile, arguments.link);
  return planning;
}

}  // namespace gsnake::command
