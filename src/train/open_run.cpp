#include "train/open_run.h"

#include "core/bytes.h"
#include "core/log.h"
#include "checkpoint/store_options.h"
#include "greedysnake/error.h"
#include "torch/dtype.h"
#include "train/new_state.h"

namespace gsnake::train {
namespace {

// Lines as a check of the state goes on, if it takes long enough.
std::function<void(std::uint64_t, std::uint64_t)> verification_progress() {
  return [tenths = std::uint64_t{0}](std::uint64_t done, std::uint64_t total) mutable {
    constexpr std::uint64_t kWorthALine = 1ULL << 30;
    if (total < kWorthALine || done * 10 / total == tenths) return;
    tenths = done * 10 / total;
    spdlog::info("checking the state against its checksums: {} of {}", core::format_bytes(done), core::format_bytes(total));
  };
}

// What this process computes with, for a run that begins.
void set_compute(const Session& session, checkpoint::RunState& state) {
  state.compute_threads = at::get_num_threads();
  state.compute_dtype = backend::dtype_name(session.shape.compute);
}

// Whether there is a commit to go on from. Which of several copies counts, and whether one is whole, is the store's to say. A run whose run.dir
// was lost lives on in its SSD paths: to go on with it must be asked for, as they may be another run's.
bool resumes(const Config& config, const TrainerOptions& options) {
  bool exists = store::holds_manifest(config.run.dir);
  for (const std::string& path : config.ssd.paths) exists = exists || (options.resume == Resume::must && store::holds_manifest(path));
  if (options.resume == Resume::must && !exists) {
    throw Error(ErrorKind::usage, "cannot resume: " + config.run.dir + " holds no commit; check run.dir, or leave out --resume must");
  }
  if (options.from_step && (!exists || options.resume == Resume::never)) {
    throw Error(ErrorKind::usage, "cannot go back to step " + std::to_string(*options.from_step) + ": " + config.run.dir +
                                      " holds no commit to resume; check run.dir, and leave out --resume never");
  }
  return exists && options.resume != Resume::never;
}

// An imported run has no steps yet that a change of the maths could belie.
void refuse_changes(const nlohmann::json& training, Session& session, checkpoint::RunState& state, const TrainerOptions& options) {
  if (training.value("imported", false)) {
    checkpoint::refuse_changed_storage(checkpoint::config_from(training), session.config);
    set_compute(session, state);
    return;
  }
  checkpoint::refuse_changed_maths(checkpoint::config_from(training), session.config, options.allow_change);
  checkpoint::refuse_changed_compute(state, at::get_num_threads(), backend::dtype_name(session.shape.compute), options.allow_change);
  const double scale = session.numerics.policy.dynamic_scale ? state.loss_scale : session.numerics.counters.loss_scale;
  session.numerics.counters = {state.updates, scale, state.good_steps};
}

checkpoint::RunState resume(Session& session, const store::StoreOptions& store_options, const TrainerOptions& options) {
  session.store = store::Store::open(store_options, plan::scratch_layout(session.store_layout));
  const nlohmann::json& training = session.store->manifest()->training;
  checkpoint::RunState state = checkpoint::run_state_from(training);
  refuse_changes(training, session, state, options);
  const std::string& folder = session.config.run.dir;
  if (state.elements != session.problem.elements) throw Error(ErrorKind::usage, "model: its units have other sizes than those of the run in " + folder);
  if (session.problem.commits && session.store->layout().kinds[static_cast<std::size_t>(store::Kind::weights)].slots < 2) {
    throw Error(ErrorKind::usage, "run.durability was \"off\" when the run in " + folder +
                                      " was made: its files have room for one copy of the state; set it back to \"off\"");
  }
  session.store->verify([&, log = verification_progress()](std::uint64_t done, std::uint64_t total) {
    log(done, total);
    if (options.progress) options.progress("checking the state against its checksums", done, total);
  });
  return state;
}

checkpoint::RunState create(Session& session, const store::StoreOptions& store_options, const TrainerOptions& options) {
  const NewState fresh(session);
  session.store = store::Store::create(store_options, session.store_layout);
  checkpoint::RunState state;
  state.elements = session.problem.elements;
  set_compute(session, state);
  fresh.write(session, options.progress);
  return state;
}

}  // namespace

OpenRun open_run(Session& session, const TrainerOptions& options) {
  store::StoreOptions store_options = checkpoint::store_options(session.config);
  store_options.from_step = options.from_step;
  store_options.progress = options.progress;
  store_options.snapshot_places = plan::snapshot_places(session.config);
  store_options.overwrite = options.overwrite;
  OpenRun run;
  run.resumed = resumes(session.config, options);
  run.state = run.resumed ? resume(session, store_options, options) : create(session, store_options, options);
  run.committer = std::make_unique<checkpoint::StepCommitter>(session.config, session.program.map, *session.store);
  if (session.problem.guard == schedule::Guard::speculative) run.committer->commit_every_time();
  if (run.resumed) run.committer->resume_at(run.state.step);
  return run;
}

}  // namespace gsnake::train
