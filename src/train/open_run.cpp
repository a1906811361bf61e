#include "train/open_run.h"

#include "checkpoint/resume.h"
#include "checkpoint/store_options.h"
#include "convert/carried_files.h"
#include "greedysnake/error.h"
#include "plan/base_layout.h"
#include "torch/dtype.h"
#include "train/new_state.h"

namespace gsnake::train {
namespace {

// What this process computes with, for a run that begins.
void set_compute(const Session& session, checkpoint::RunState& state) {
  state.compute_threads = at::get_num_threads();
  state.compute_dtype = backend::dtype_name(session.shape.compute);
}

}  // namespace

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

namespace {

// For runs whose commits name it.
checkpoint::BaseOfRun base_of(const Session& session) {
  return session.base ? checkpoint::base_of_run(session.base->manifest().id, session.config) : checkpoint::BaseOfRun();
}

std::shared_ptr<const nlohmann::json> data_of(const TrainerOptions& options) {
  if (options.data.empty()) return nullptr;
  nlohmann::json data = nlohmann::json::parse(options.data, nullptr, false);
  if (data.is_discarded()) throw Error(ErrorKind::usage, "TrainerOptions::data is no JSON");
  return std::make_shared<const nlohmann::json>(std::move(data));
}

// Its counters go on where the commit has them; a loss scale that is not dynamic is the config's.
checkpoint::RunState resume(Session& session, const store::StoreOptions& storage, const TrainerOptions& options) {
  const std::vector<std::uint32_t>& frozen = session.store_layout.kinds[core::index_of(store::Kind::weights)].frozen;
  checkpoint::ResumedRun run = checkpoint::resume({session.config, storage, plan::scratch_layout(session.store_layout), session.problem.elements(), frozen,
                                                   session.layout.frozen_parameters(), data_of(options), session.problem.commits, at::get_num_threads(), backend::dtype_name(session.shape.compute),
                                                   options.allow_change, base_of(session)});
  session.store = std::move(run.store);
  if (!run.imported) {
    const double scale = session.numerics.policy.dynamic_scale ? run.state.loss_scale : session.numerics.counters.loss_scale;
    session.numerics.counters = {run.state.updates, scale, run.state.good_steps};
  }
  return std::move(run.state);
}

checkpoint::RunState create(Session& session, const store::StoreOptions& store_options, const TrainerOptions& options) {
  const NewState fresh(session);
  session.store = store::Store::create(store_options, session.store_layout);
  checkpoint::RunState state;
  state.base = base_of(session);
  state.elements = session.problem.elements();
  state.frozen_parameters = session.layout.frozen_parameters();
  state.data = data_of(options);
  set_compute(session, state);
  fresh.write(session, options.progress);
  return state;
}

}  // namespace

std::unique_ptr<checkpoint::DurableRun> open_run(Session& session, const TrainerOptions& options) {
  store::StoreOptions store_options = checkpoint::store_options(session.config);
  store_options.names_in_run_dir = {convert::kCarriedName};
  store_options.from_step = options.from_step;
  store_options.progress = options.progress;
  store_options.snapshot_places = plan::snapshot_places(session.config);
  store_options.overwrite = options.overwrite;
  store_options.base = plan::base_file(session.base, session.layout);
  const bool goes_on = resumes(session.config, options);
  checkpoint::RunState state = goes_on ? resume(session, store_options, options) : create(session, store_options, options);
  checkpoint::CommitSettings commits;
  commits.parameters = session.layout.parameters();
  commits.hashes = checkpoint::hashes_state();
  commits.every_step = session.problem.guard == schedule::Guard::speculative;
  return std::make_unique<checkpoint::DurableRun>(session.config, session.program.map, *session.store, std::move(state), std::move(commits));
}

}  // namespace gsnake::train
