#include <fmt/format.h>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "core/log.h"
#include "core/threads.h"
#include "data/identity.h"
#include "device/named_device.h"
#include "greedysnake/models.h"
#include "greedysnake/ranks.h"
#include "io/engine.h"
#include "run/outputs.h"
#include "run/phase_watch.h"
#include "run/train_loop.h"
#include "run/transfer_progress.h"
#include "train/group.h"
#include "train/rank_devices.h"
#include "train/resolved_by_all.h"

namespace gsnake {
namespace run {
namespace {

void check_request(const Config& config, const RunRequest& request) {
  if (config.data.train.empty()) throw Error(ErrorKind::usage, "data.train = []: name at least one file of text or tokens");
  if (!request.overwrite || request.resume == Resume::never) return;
  throw Error(ErrorKind::usage, fmt::format("--overwrite goes with --resume never, not with --resume {}: add --resume never to discard the "
                                            "run that is there, or leave out --overwrite to go on with it",
                                            word_of(request.resume)));
}

// The first rank reports for all.
Config as_reported(Config config) {
  if (config.ranks.rank == 0) return config;
  config.run.metrics.clear();
  config.run.trace.clear();
  return config;
}

RunOutcome run_trainer(Model model, const Config& config, const RunRequest& request, Inputs& inputs, const TrainerOptions& options, const StopSignals& signals,
                       PhaseWatch& watch) {
  const Config reported = as_reported(config);
  auto trainer = std::make_unique<Trainer>(std::move(model), config, options);
  watch.leave();
  std::exception_ptr failure;
  RunOutcome outcome;
  try {
    outcome = train::telling_of_failure(options.group.get(), [&] { return train_to_the_end(reported, request, inputs, *trainer, signals, options.group.get()); });
  } catch (...) {
    failure = std::current_exception();
  }
  // A drive that hangs shows here as well.
  watch.enter("ending what is in flight and closing the files");
  trainer.reset();
  if (failure) std::rethrow_exception(failure);
  return outcome;
}

// What the files of data are looked at with before the planner has said how many micro-batches there are.
Config with_some_micro_batches(Config config) {
  if (config.train.micro_batches < 0) config.train.micro_batches = 1;
  return config;
}

TrainerOptions options_of(const RunRequest& request) {
  TrainerOptions options;
  options.resume = request.resume;
  options.overwrite = request.overwrite;
  options.allow_change = request.allow_change;
  options.from_step = request.from_step;
  options.machine = request.machine;
  return options;
}

std::shared_ptr<dist::RankGroup> join_ranks(const Config& config, const RunRequest& request, PhaseWatch& watch) {
  if (config.ranks.count == 1) return nullptr;
  watch.enter("waiting for the other ranks");
  dist::RankGroupOptions options;
  options.last_resort = request.last_resort;
  return dist::RankGroup::join(config.ranks, options);
}

RunOutcome run_as_rank(const Config& given, const RunRequest& request, TrainerOptions& options, const StopSignals& signals, PhaseWatch& watch) {
  device::require_device(given.memory.device);  // opens CUDA before LibTorch asks itself whether it has it, and remembers
  io::require_engine(given.ssd.engine);
  check_outputs(as_reported(given));
  watch.enter("opening the data");
  std::optional<Inputs> inputs(std::in_place, with_some_micro_batches(given));
  watch.enter("making the model");
  Model model = request.make_model ? request.make_model() : models::make(given);
  const train::Resolved resolved = core::on_own_thread([&] { return train::resolved_by_all(model, given, options, options.group.get()); });  // it may compute
  options.choices = resolved.choices;
  if (resolved.config.train.micro_batches != given.train.micro_batches) inputs.emplace(resolved.config);
  options.data = data::identity_of(inputs->training).dump();
  return run_trainer(std::move(model), resolved.config, request, *inputs, options, signals, watch);
}

// Before the run was open.
RunOutcome stopped_outcome(const StopSignals& signals) {
  const int status = exit_status_of(signals.requested());
  return outcome_of({{"event", "end"}, {"exit_status", status}, {"step", nullptr}, {"loss", nullptr}, {"validation_loss", nullptr}, {"steps", 0}});
}

}  // namespace
}  // namespace run

RunOutcome run_training(const Config& asked, const RunRequest& request) {
  using namespace run;
  Config given = asked;
  if (given.ranks.count == 1) given.ranks = ranks_of_environment(given.ranks);
  given = train::with_own_device(std::move(given));
  given.validate();
  check_request(given, request);
  TrainerOptions options = options_of(request);
  const StopSignals signals;
  PhaseWatch watch(signals);
  TransferProgress progress;
  options.progress = [&](const std::string& what, std::uint64_t done, std::uint64_t total) {
    watch.enter_or_stop(what, done, total);
    if (what.starts_with("importing")) {
      progress.tell(what, done, total);
    } else {
      progress.end_line();
    }
  };
  try {
    options.group = join_ranks(given, request, watch);
    return train::telling_of_failure(options.group.get(), [&] { return run_as_rank(given, request, options, signals, watch); });
  } catch (const Stopped& stopped) {
    spdlog::info("{}", stopped.what());
    return stopped_outcome(signals);
  } catch (const Error& error) {
    // A signal that all ranks were sent: the others may have left first.
    if (error.kind() != ErrorKind::rank || signals.requested() == 0 || watch.has_left()) throw;
    return stopped_outcome(signals);
  }
}

}  // namespace gsnake
