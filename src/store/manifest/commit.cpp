#include "store/manifest/commit.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <future>
#include <stdexcept>

#include "core/errors.h"
#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::store {
namespace {

nlohmann::json describe_storage(const StoreState& state) {
  nlohmann::json paths = nlohmann::json::array();
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < state.maps.size(); ++i) bytes += is_state(kind_at(i)) ? state.file_bytes(kind_at(i), path) : 0;
    paths.push_back({{"path", state.ssd_paths[path]}, {"bytes", bytes}});
  }
  return {{"stripe_bytes", kStripeBytes},
          {"extent_alignment", kExtentAlignment},
          {"stripe_weights", state.report.stripe_weights},
          {"run_dir", state.run_dir},
          {"paths", std::move(paths)},
          {kNamesKey, state.names.prefix},
          {"kinds", state_to_json(state.layout)}};
}

void refuse_poisoned(const StoreState& state) {
  if (!state.poisoned) return;
  core::throw_storage("commit", "run " + state.run_id, "an earlier commit failed", "end this process and go on with --resume must");
}

// Nothing is committed any more once an exception has left its scope: after a failed sync the kernel takes what was lost for written, and where
// some copies of a manifest stand, another commit would overwrite their table.
class Poison {
 public:
  explicit Poison(StoreState& state) : state_(state) {}
  ~Poison() {
    if (std::uncaught_exceptions() > before_) state_.poisoned = true;
  }
  Poison(const Poison&) = delete;
  Poison& operator=(const Poison&) = delete;

 private:
  StoreState& state_;
  const int before_ = std::uncaught_exceptions();
};

void sync_path(StoreState& state, std::size_t path) {
  for (const OpenFile& file : state.files) {
    if (is_state(file.kind) && state.file_ids[index_of(file.kind)][path] == file.id) {
      const Activity::Call call(state.activity, "fdatasync", file.file.path());
      sync_data(*state.sync, file.file.fd(), file.file.path());
    }
  }
}

void sync_paths(StoreState& state) {
  std::vector<std::future<void>> others;
  for (std::size_t path = 1; path < state.ssd_paths.size(); ++path) {
    others.push_back(std::async(std::launch::async, [&state, path] {
      core::block_signals();
      sync_path(state, path);
    }));
  }
  sync_path(state, 0);
  for (std::future<void>& other : others) other.get();
}

// The pieces are the same from step to step, as a rule.
bool same_pieces(std::span<const Checksum> a, std::span<const Checksum> b) {
  const auto same = [](const Checksum& x, const Checksum& y) {
    return x.extent.kind == y.extent.kind && x.extent.object == y.extent.object && x.extent.offset == y.extent.offset &&
           x.extent.bytes == y.extent.bytes;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

void check_commit(const StoreState& state, const Commit& commit) {
  const int slots = state_slots(state.layout);
  if (commit.slot < 0 || commit.slot >= slots) {
    throw Error(ErrorKind::usage, fmt::format("cannot commit slot {} of run {}: its state has {} slots", commit.slot, state.run_id, slots));
  }
  const std::shared_ptr<const Committed> last = state.last_commit();
  if (commit.checksums.empty() || (last && same_pieces(last->checksums, commit.checksums))) return;
  if (const std::string fault = tiling_fault(commit.checksums, state.layout); !fault.empty()) {
    throw Error(ErrorKind::usage, fmt::format("cannot commit run {}: its checksums do not cover the state: {}", state.run_id, fault));
  }
}

// One copy tells which of the run's paths it lies on, so that paths may be named in another order later.
Manifest copy_for(const Manifest& manifest, const StoreState& state, const std::string& directory) {
  Manifest copy = manifest;
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    if (state.ssd_paths[path] == directory) copy.storage["path_index"] = path;
  }
  return copy;
}

}  // namespace

void sync_state(StoreState& state) {
  const std::lock_guard guard(state.sync_mutex);
  refuse_poisoned(state);
  const Poison poison(state);
  sync_paths(state);
}

std::shared_ptr<const Committed> make_record(const StoreState& state, std::uint64_t generation, const Commit& commit,
                                             const std::string& table) {
  check_commit(state, commit);
  auto record = std::make_shared<Committed>();
  record->slot = commit.slot;
  record->checksums.assign(commit.checksums.begin(), commit.checksums.end());
  record->manifest = {state.run_id, generation, describe_storage(state), commit.training};
  nlohmann::json& storage = record->manifest.storage;
  storage["slot"] = static_cast<unsigned>(commit.slot);
  storage["checksums"] = nullptr;
  if (commit.checksums.empty()) return record;
  record->table = encode_table(commit.checksums);
  record->table_name = table;
  storage["checksums"] = to_json({table, commit.checksums.size(), checksum_of(record->table)});
  return record;
}

void stage_record(StoreState& state, std::span<const std::string> directories, const std::string& name, const Committed& record) {
  for (const std::string& directory : directories) {
    const Activity::Call call(state.activity, "writing the table and manifest", directory);
    // A name that a power cut takes away would leave a manifest without its table.
    if (!record.table.empty() && overwrite_file(*state.sync, directory + "/" + record.table_name, record.table)) {
      sync_directory(*state.sync, directory);
    }
    stage_manifest(*state.sync, directory, name, copy_for(record.manifest, state, directory));
  }
}

void publish_record(StoreState& state, std::span<const std::string> directories, const std::string& name, Previous previous) {
  // Before the first copy is published: a sync that fails after its rename leaves a valid manifest, whose files must not go.
  state.footprint.keep_state();
  for (const std::string& directory : directories) {
    const Activity::Call call(state.activity, "publishing the manifest", directory);
    if (previous == Previous::keep) keep_previous_manifest(*state.sync, directory);
    publish_manifest(*state.sync, directory, name);
  }
}

void write_record(StoreState& state, std::span<const std::string> directories, const std::string& name, const Committed& record,
                  Previous previous) {
  stage_record(state, directories, name, record);
  publish_record(state, directories, name, previous);
}

std::uint64_t PreparedCommit::generation() const noexcept { return record_->manifest.generation; }

std::shared_ptr<const Committed> Store::stage(const Commit& commit, Staged staged) {
  impl_->require_writable("commit");
  const std::shared_ptr<const Committed> last = impl_->last_commit();
  std::shared_ptr<const Committed> made =
      make_record(*impl_, impl_->generation + 1, commit, other_table(last ? last->table_name : std::string()));
  sync_state(*impl_);
  impl_->prepared.reset();
  const Poison poison(*impl_);
  // From the first whole copy on, the other ranks may count on it: removing its files without a sync could leave that and not these.
  if (staged == Staged::counts) impl_->footprint.keep_state();
  stage_record(*impl_, impl_->directories(), kManifestName, *made);
  impl_->prepared = made;
  return made;
}

PreparedCommit Store::prepare(const Commit& commit) {
  if (commit.checksums.empty()) throw Error(ErrorKind::usage, "cannot prepare a commit without checksums: nobody could find it again");
  PreparedCommit prepared(stage(commit, Staged::counts));
  const Poison poison(*impl_);
  for (const std::string& directory : impl_->directories()) sync_directory(*impl_->sync, directory);
  return prepared;
}

void Store::publish(const PreparedCommit& prepared) {
  if (prepared.record_ == nullptr || prepared.record_ != impl_->prepared) throw std::logic_error("store: what is to be published is not what was prepared last");
  refuse_poisoned(*impl_);
  const Poison poison(*impl_);
  publish_record(*impl_, impl_->directories(), kManifestName, Previous::keep);
  ++impl_->generation;
  impl_->set_last_commit(std::move(impl_->prepared));
}

void Store::commit(const Commit& commit) { publish(PreparedCommit(stage(commit, Staged::waits))); }

void Store::retract_manifest() {
  impl_->require_writable("retract the commit of");
  if (state_slots(impl_->layout) != 1) throw std::logic_error("store: the commit of a run that never overwrites it is retracted");
  // run_dir's last: a kill on the way leaves the copy by which the run is found, and nothing was overwritten yet.
  std::vector<std::string> directories = impl_->directories();
  std::reverse(directories.begin(), directories.end());
  for (const std::string& directory : directories) remove_manifests(*impl_->sync, directory);
}

}  // namespace gsnake::store
