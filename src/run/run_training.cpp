#include <fmt/format.h>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "core/log.h"
#include "core/threads.h"
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

void check_request(const RunRequest& request) {
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

RunOutcome run_trainer(Model model, const Config& config, const RunRequest& request, RunData& data, const TrainerOptions& options, const StopRequests& stops,
                       PhaseWatch& watch) {
  const Config reported = as_reported(config);
  auto trainer = std::make_unique<Trainer>(std::move(model), config, options);
  watch.leave();
  std::exception_ptr failure;
  RunOutcome outcome;
  try {
    outcome = train::telling_of_failure(options.group.get(), [&] { return train_to_the_end(reported, request, data, *trainer, stops, options.group.get()); });
  } catch (...) {
    failure = std::current_exception();
  }
  // A drive that hangs shows here as well.
  watch.enter("ending what is in flight and closing the files");
  trainer.reset();
  if (failure) std::rethrow_exception(failure);
  return outcome;
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

RunOutcome run_as_rank(const Config& given, const RunRequest& request, TrainerOptions& options, const StopRequests& stops, PhaseWatch& watch) {
  device::require_device(given.memory.device);  // opens CUDA before LibTorch asks itself whether it has it, and remembers
  io::require_engine(given.ssd.engine);
  check_outputs(as_reported(given));
  watch.enter("opening the data");
  RunData data(given, request);
  watch.enter("making the model");
  Model model = request.make_model ? request.make_model() : models::make(given);
  const train::Resolved resolved = core::on_own_thread([&] { return train::resolved_by_all(model, given, options, options.group.get()); });  // it may compute
  options.choices = resolved.choices;
  data.settle(resolved.config);
  options.data = data.identity();
  return run_trainer(std::move(model), resolved.config, request, data, options, stops, watch);
}

// Before the run was open.
RunOutcome stopped_outcome(const StopRequests& stops) {
  const int status = exit_status_of_stop(stops.requested());
  RunOutcome outcome = outcome_of({{"event", "end"}, {"exit_status", status}, {"step", nullptr}, {"loss", nullptr}, {"validation_loss", nullptr}, {"steps", 0}});
  outcome.stopped = true;
  return outcome;
}

}  // namespace
}  // namespace run

RunOutcome run_training(const Config& asked, const RunRequest& request) {
  using namespace run;
  Config given = asked;
  if (given.ranks.count == 1) given.ranks = ranks_of_environment(given.ranks);
  given = train::with_own_device(std::move(given));
  given.validate();
  check_request(request);
  TrainerOptions options = options_of(request);
  const StopRequests stops(request.stop, request.take_signals);
  PhaseWatch watch(stops);
  TransferProgress progress(request.terminal_progress);
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
    return train::telling_of_failure(options.group.get(), [&] { return run_as_rank(given, request, options, stops, watch); });
  } catch (const Stopped& stopped) {
    spdlog::info("{}", stopped.what());
    return stopped_outcome(stops);
  } catch (const Error& error) {
    // All ranks were asked to stop: the others may have left first.
    if (error.kind() != ErrorKind::rank || stops.requested() == 0 || watch.has_left()) throw;
    return stopped_outcome(stops);
  }
}

}  // namespace gsnake
