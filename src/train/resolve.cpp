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

// A profile says whether a GPU computes, whatever is to compute here.
std::string device_there(const Config& config, const sim::MachineProfile& profile) {
  const bool on_cpu = profile.compute.device == "cpu";
  if (on_cpu == (config.memory.device == "cpu")) return config.memory.device;
  return on_cpu ? "cpu" : config.ranks.local_count > 1 ? "cuda:{local_rank}" : "cuda:0";
}

// Of a run that goes on, what is part of the maths stays as it has it.
void keep_maths(Config& config) {
  if (config.train.micro_batches > 0 && config.optimizer.moments != MomentFormat::automatic) return;
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
  if (config.train.micro_batches > 0 && wish.tokens_a_step > 0) {
    throw Error(ErrorKind::usage, fmt::format("--tokens {}: train.micro_batches is {}; set it to \"auto\" for as many as that takes", wish.tokens_a_step, config.train.micro_batches));
  }
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
  const std::string device = wish.here ? config.memory.device : device_there(config, basis.profile);
  input.config.memory.device = device;
  set_free_memory(input, basis.profile, wish.here);
  plan::Plan plan = plan::make_plan(input);
  if (device != config.memory.device) plan.choices.insert(plan.choices.begin(), plan::Choice{"memory.device", device});
  return plan;
}

Resolved resolve(Model& model, const Config& given, const TrainerOptions& options, const sim::LinkProfile* link) {
  Resolved resolved{given, {}};
  if (!given.leaves_choices()) return resolved;
  if (resumes(given, options)) keep_maths(resolved.config);  // refuses what can be refused before anything is measured
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
