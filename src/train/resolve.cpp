#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "checkpoint/rank_folders.h"
#include "checkpoint/run_state.h"
#include "core/free_memory.h"
#include "core/log.h"
#include "device/named_device.h"
#include "greedysnake/error.h"
#include "train/find_run.h"
#include "train/planning.h"

namespace gsnake::train {
namespace {

// Of what is free, for everything that no budget is charged with: libraries, code, stacks, page tables, other people's processes.
constexpr double kMargin = 0.1;
constexpr std::uint64_t kLeastMargin = 768ULL << 20;

std::uint64_t less_margin(std::uint64_t free) {
  const auto margin = std::max(kLeastMargin, static_cast<std::uint64_t>(kMargin * static_cast<double>(free)));
  return free - std::min(free, margin);
}

// Of a rank. On another machine: all that its profile has. GPUs are one for each rank.
void set_free_memory(plan::PlannerInput& input, const sim::MachineProfile& profile, bool here) {
  const bool on_cpu = here ? input.config.memory.device == "cpu" : profile.compute.device == "cpu";
  const std::uint64_t host = here ? core::free_host_bytes() : profile.cpu.memory;
  input.free_host_bytes = less_margin(host) / static_cast<std::uint64_t>(input.config.ranks.local_count);
  if (on_cpu) return;
  const std::uint64_t on_device = here ? device::free_device_bytes(input.config.memory.device) : profile.compute.memory;
  input.free_device_bytes = on_device - on_device / 10;
}

// What is part of the maths stays as the run has it.
void keep_maths(Config& config, const TrainerOptions& options) {
  if ((config.train.micro_batches > 0 && config.optimizer.moments != MomentFormat::automatic)) return;
  if (!resumes(config, options)) return;
  const nlohmann::json training = checkpoint::any_training(config.run.dir, config.ssd.paths).value();
  const Config before = checkpoint::parse_config(checkpoint::config_from(training));
  // An imported run has no steps yet, but its files are laid out for its moments.
  const bool imported = training.value("imported", false);
  if (config.train.micro_batches < 0 && !imported) config.train.micro_batches = before.train.micro_batches;
  if (config.optimizer.moments == MomentFormat::automatic) config.optimizer.moments = before.optimizer.moments;
}

}  // namespace

plan::Plan plan_of(const PlanningBasis& basis, const Config& config, const PlanWish& wish) {
  constexpr std::int64_t kMostMicroBatches = 4096;
  const std::int64_t of_one = config.ranks.count * plan::tokens_of(config, plan::Purpose::train);
  if (config.train.micro_batches < 0 && wish.tokens_a_step / of_one > kMostMicroBatches) {
    throw Error(ErrorKind::usage, fmt::format("{} tokens a step would be more than {} micro-batches of {}: raise train.micro_batch_size", wish.tokens_a_step, kMostMicroBatches * config.ranks.count, of_one / config.ranks.count));
  }
  plan::PlannerInput input;
  input.config = config;
  input.setting = basis.setting;
  input.profile = basis.profile;
  input.tokens_a_step = wish.tokens_a_step;
  input.goal = wish.goal;
  input.advises = wish.advises;
  set_free_memory(input, basis.profile, wish.here);
  return plan::make_plan(input);
}

Resolved resolve(Model& model, const Config& given, const TrainerOptions& options, const sim::LinkProfile* link) {
  Resolved resolved{given, {}};
  if (!given.leaves_choices()) return resolved;
  resumes(given, options);  // refuses what can be refused before anything is measured
  keep_maths(resolved.config, options);
  resolved.config.validate();  // as many ranks as there are now can share the micro-batches that there were
  if (!resolved.config.leaves_choices()) return resolved;
  MachineRequest request;
  request.file = options.machine;
  request.measuring = options.machine.empty() ? Measuring::if_missing : Measuring::never;
  request.finds_peaks = true;
  request.told = [&options, said = std::string()](const std::string& what) mutable {
    if (std::exchange(said, what) != what) spdlog::info("{}", what);
    if (options.progress) options.progress(what, 0, 0);
  };
  const std::unique_ptr<PlanningBasis> basis = planning_basis(model, resolved.config, request);
  if (link != nullptr && basis->profile.link.per_second <= 0.0) basis->profile.link = *link;
  if (options.progress) options.progress("planning", 0, 0);
  const plan::Plan plan = plan_of(*basis, resolved.config, {.here = true, .tokens_a_step = 0, .goal = plan::Goal::throughput, .advises = false});
  resolved.config = plan.config;
  for (const plan::Choice& choice : plan.choices) resolved.choices.push_back(fmt::format("{} = {}", choice.key, choice.value));
  return resolved;
}

}  // namespace gsnake::train
