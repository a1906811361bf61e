#include "train/open_run.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <span>

#include "checkpoint/reshard.h"
#include "checkpoint/resume.h"
#include "checkpoint/store_options.h"
#include "convert/carried_files.h"
#include "core/log.h"
#include "greedysnake/error.h"
#include "plan/base_layout.h"
#include "store/opening/replaced.h"
#include "torch/dtype.h"
#include "train/find_run.h"
#include "train/group.h"
#include "train/new_state.h"

namespace gsnake::train {
namespace {

// What this process computes with, for a run that begins.
void set_compute(const Session& session, checkpoint::RunState& state) {
  state.compute_threads = at::get_num_threads();
  state.compute_dtype = backend::dtype_name(session.shape.compute);
}

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

// Everything that a run is opened with, and what of it a resume looks at.
class Opening {
 public:
  Opening(Session& session, const TrainerOptions& options)
      : session_(session), options_(options), group_(session.group.get()), storage_(checkpoint::store_options(session.config)), scratch_(plan::scratch_layout(session.store_layout)), elements_(session.problem.elements()) {
    storage_.cpus = session.near;
    storage_.names_in_run_dir = {convert::kCarriedName};
    storage_.from_step = options.from_step;
    storage_.progress = options.progress;
    storage_.snapshot_places = plan::snapshot_places(session.config);
    storage_.overwrite = options.overwrite;
    storage_.base = plan::base_file(session.base, session.layout);
  }

  checkpoint::RunState open() {
    const RunToOpen found = find_run(session_.config, options_, group_);
    // A run of one rank holds the folder itself, until it is replaced.
    const bool is_held = found.of_others && found.of_others->ranks == 1;
    if (!is_held) session_.run_folder.emplace(session_.config);
    checkpoint::RunState state = found.of_others ? share_out_anew(*found.of_others) : found.goes_on ? resume(found.generation) : create();
    if (is_held) session_.run_folder.emplace(session_.config);
    session_.run_folder->belongs_to(*session_.store);
    meet(group_);
    remove(found.left);
    return state;
  }

 private:
  [[nodiscard]] bool is_first() const { return session_.config.ranks.rank == 0; }
  [[nodiscard]] store::ReplacedRun::Options replaced_options() const { return {storage_.names_in_run_dir, options_.progress, nullptr}; }

  [[nodiscard]] checkpoint::ResumeRequest request(const store::StoreOptions& storage) const {
    return {session_.config, storage, scratch_, elements_, session_.store_layout.kinds[core::index_of(store::Kind::weights)].frozen, session_.layout.frozen_parameters(), data_of(options_),
            session_.problem.commits, at::get_num_threads(), backend::dtype_name(session_.shape.compute), options_.allow_change, base_of(session_)};
  }

  // Its counters go on where the commit has them; a loss scale that is not dynamic is the config's.
  checkpoint::RunState go_on_with(checkpoint::ResumedRun run) {
    session_.store = std::move(run.store);
    if (!run.imported) {
      const double scale = session_.numerics.policy.dynamic_scale ? run.state.loss_scale : session_.numerics.counters.loss_scale;
      session_.numerics.counters = {run.state.updates, scale, run.state.good_steps};
    }
    return std::move(run.state);
  }

  checkpoint::RunState resume(std::optional<std::uint64_t> generation) {
    store::StoreOptions storage = storage_;
    storage.generation = generation;
    if (generation) make_run_folder(storage_.run_dir);  // where it was lost, the SSD paths hold what it held
    return go_on_with(checkpoint::resume(request(storage)));
  }

  checkpoint::RunState create() {
    const NewState fresh(session_);
    session_.store = store::Store::create(storage_, session_.store_layout);
    checkpoint::RunState state;
    state.base = base_of(session_);
    state.elements = elements_;
    state.frozen_parameters = session_.layout.frozen_parameters();
    state.data = data_of(options_);
    state.ranks = session_.config.ranks.count;
    set_compute(session_, state);
    fresh.write(session_, options_.progress);
    return state;
  }

  // See checkpoint/reshard.h for what a kill leaves at each point.
  checkpoint::RunState share_out_anew(const checkpoint::RunFound& found) {
    const int count = session_.config.ranks.count;
    if (options_.from_step) throw Error(ErrorKind::usage, "cannot go back to a snapshot with another number of ranks: go back with " + std::to_string(found.ranks) + " first");
    if (is_first()) spdlog::info("sharing out step {} of {} {} among {}", found.last->step, found.ranks, found.ranks == 1 ? "rank" : "ranks", count);
    std::optional<store::ReplacedRun> replaced;
    if (is_first()) replaced.emplace(found.folders, replaced_options());
    meet(group_);
    checkpoint::ResumedRun run = checkpoint::resumed(request(storage_), made_of_shares(found));
    meet(group_);
    if (replaced) replaced->remove();
    replaced.reset();
    meet(group_);
    run.state.ranks = count;
    return go_on_with(std::move(run));
  }

  // The store that this rank's share of the run's last commit is copied to: its first commit.
  std::unique_ptr<store::Store> made_of_shares(const checkpoint::RunFound& found) {
    const std::unique_ptr<store::Store> from = open_shares(found);
    checkpoint::ResumeRequest asked = request(storage_);
    const checkpoint::RunState before = checkpoint::run_state_from(from->manifest()->training);
    if (session_.config.train.compute_threads == 0) asked.compute_threads = before.compute_threads;  // each rank has its share of the cores
    checkpoint::refuse_changes(asked, from->manifest()->training, from->layout());
    storage_.overwrite = true;
    std::unique_ptr<store::Store> store = store::Store::create(storage_, session_.store_layout);
    const auto told = [this](std::uint64_t done, std::uint64_t total) {
      if (options_.progress) options_.progress("sharing out the run among other ranks", done, total);
    };
    checkpoint::Resharded made = checkpoint::reshard(*from, *store, session_.program.map, session_.config.ranks, told);
    made.training["compute_threads"] = at::get_num_threads();
    made.training["compute_dtype"] = backend::dtype_name(session_.shape.compute);
    const store::PreparedCommit prepared = store->prepare({0, made.training, made.checksums});
    meet(group_);
    store->publish(prepared);
    return store;
  }

  std::unique_ptr<store::Store> open_shares(const checkpoint::RunFound& found) const {
    store::StoreOptions whole = storage_;
    whole.stripe_weights.clear();
    std::vector<store::ShareFolders> shares;
    for (const checkpoint::ShareFound& share : found.shares) shares.push_back(share.folders);
    if (found.ranks > 1) return store::Store::open_reader(whole, shares);
    whole.run_dir = shares.front().run_dir;
    whole.ssd_paths = shares.front().ssd_paths;
    return store::Store::open_reader(whole);
  }

  // Rank 0 what it sees; then the first rank of each machine what is left there.
  void remove(const std::vector<std::string>& folders) {
    const auto remove_those_there = [&] {
      std::vector<std::string> there;
      std::copy_if(folders.begin(), folders.end(), std::back_inserter(there), [](const std::string& folder) { return std::filesystem::is_directory(folder); });
      if (!there.empty()) store::ReplacedRun(there, replaced_options()).remove();
    };
    if (is_first()) remove_those_there();
    meet(group_);
    if (!is_first() && session_.config.ranks.local_rank == 0) remove_those_there();
  }

  Session& session_;
  const TrainerOptions& options_;
  dist::RankGroup* const group_;
  store::StoreOptions storage_;
  const store::Layout scratch_;
  const std::vector<std::uint64_t> elements_;
};

}  // namespace

std::unique_ptr<checkpoint::DurableRun> open_run(Session& session, const TrainerOptions& options) {
  checkpoint::RunState state = Opening(session, options).open();
  checkpoint::CommitSettings commits;
  commits.parameters = session.layout.parameters();
  commits.hashes = checkpoint::hashes_state();
  commits.every_step = session.problem.guard == schedule::Guard::speculative;
  if (session.group) {
    commits.agree = [group = session.group, all = std::vector<double>(static_cast<std::size_t>(session.group->count()))](std::int64_t step) mutable {
      const double own = static_cast<double>(step);
      group->agreement(dist::Channel::commits).share({&own, 1}, all);
      if (std::any_of(all.begin(), all.end(), [&](double other) { return other != own; })) throw std::logic_error("commit: ranks commit different steps");
    };
  }
  return std::make_unique<checkpoint::DurableRun>(session.config, session.program.map, *session.store, std::move(state), std::move(commits));
}

}  // namespace gsnake::train
