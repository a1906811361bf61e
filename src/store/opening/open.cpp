#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "store/folder/claim.h"
#include "store/opening/find.h"
#include "store/opening/grow.h"
#include "store/snapshot/snapshot.h"

namespace gsnake::store {
namespace {

void lock_existing(StoreState& state) {
  require_run_dir(state);
  for (const std::string& directory : state.directories()) {
    if (is_folder(directory)) state.footprint.lock(directory, state.run_id);
  }
}

// Nothing that is not the run's is written over, and no link is followed.
void refuse_others_files(const StoreState& state, const StoreOptions& options) {
  for (const std::string& directory : state.directories()) {
    if (!is_folder(directory)) continue;
    std::vector<std::string> also = earlier_files_in(directory);
    if (directory == state.run_dir) also.insert(also.end(), options.names_in_run_dir.begin(), options.names_in_run_dir.end());
    refuse_others(directory, also);
  }
}

// A run keeps its claims, if it is of a version that makes them.
void claim_directories(const StoreState& state) {
  if (state.names.prefix == kEarlierNames.prefix) return;
  for (const std::string& directory : state.directories()) {
    if (!read_claim(directory)) write_claim(*state.sync, directory, {});
  }
}

// Scratch of a run that was killed is in the way of the new one; a caller who asks for none (to inspect) leaves it alone.
void make_scratch(StoreState& state, const StoreOptions& options) {
  const bool wanted =
      std::any_of(kScratchKinds.begin(), kScratchKinds.end(), [&](Kind kind) { return state.maps[index_of(kind)].volume_bytes() > 0; });
  if (!wanted) return;
  check_space_for(state, kScratchKinds);
  remove_files(state, kScratchKinds);
  for (const Kind kind : kScratchKinds) state.create_files(kind, options.direct);
}

// Whether the layout has changed.
bool make_room_for_snapshots(StoreState& state, int places) {
  const int slots = state_slots(state.layout);
  if (places <= std::max(0, slots - 2)) return false;
  if (slots == 1) {
    throw Error(ErrorKind::usage, fmt::format("run {} has one slot (durability = \"off\") and can't keep snapshots", state.run_id));
  }
  const Layout before = state.layout;
  Layout larger = before;
  for (const Kind kind : kStateKinds) larger.kinds[index_of(kind)].slots = 2 + places;
  validate(larger);
  const std::vector<double> stripe_weights = state.report.stripe_weights;
  state.set_layout(larger, stripe_weights);
  grow_state_files(state, before);
  return true;
}

void ask_whether_to_go_on(const StoreState& state, const StoreOptions& options, const Manifest& last) {
  const std::shared_ptr<const Committed> earlier = options.from_step ? find_step(state.snapshots(), last, *options.from_step) : nullptr;
  if (options.accept) options.accept(earlier ? earlier->manifest.training : last.training, state.layout);
}

}  // namespace

std::unique_ptr<Store> Store::open(const StoreOptions& options, const Layout& scratch) {
  validate(scratch);
  auto impl = std::make_unique<Impl>();
  impl->footprint.keep_state();
  impl->run_id = "being opened";
  impl->resolve(options);
  lock_existing(*impl);
  refuse_others_files(*impl, options);
  const Found found = find_commit(*impl, scratch, options.generation);
  impl->set_snapshots(read_snapshots(*impl));
  ask_whether_to_go_on(*impl, options, found.choice.manifest);
  // The slot that the next steps overwrite may be what a reader still reads, of a commit before the last.
  impl->pin = Pin::open(impl->pin_path());
  impl->pin->exclude_readers(impl->waits_for_readers());

  claim_directories(*impl);
  impl->start_engine(options);
  impl->open_base(options);
  const bool layout_changed = make_room_for_snapshots(*impl, options.snapshot_places);
  for (const Kind kind : kStateKinds) impl->open_files(kind, options.direct);
  make_scratch(*impl, options);
  auto store = std::unique_ptr<Store>(new Store(std::move(impl)));
  store->settle(found.choice, found.copies, layout_changed);
  if (options.from_step) store->go_back(*options.from_step);
  store->admit_readers();
  return store;
}

std::vector<FoundCommit> Store::commits_of(const StoreOptions& options) {
  StoreState state;
  state.resolve(options);
  return commits_in(read_present_copies(state));
}

}  // namespace gsnake::store
