#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"
#include "store/folder/claim.h"
#include "store/manifest/commit.h"
#include "store/manifest/copies.h"
#include "store/opening/geometry.h"
#include "store/opening/grow.h"
#include "store/opening/locate.h"
#include "store/snapshot/snapshot.h"
#include "store/state.h"

namespace gsnake::store {
namespace {

constexpr std::array kStateKinds{Kind::weights, Kind::moment1, Kind::moment2, Kind::master};
constexpr std::array kScratchKinds{Kind::gradients, Kind::activations};

bool exists(const std::string& directory) {
  std::error_code error;
  return std::filesystem::is_directory(directory, error);
}

void require_run_dir(const StoreState& state) {
  if (!exists(state.run_dir)) {
    core::throw_storage("open the run in", state.run_dir, "there is no such folder",
                        "name the run's folder; if it was lost, make an empty one: the SSD paths hold copies of its manifest");
  }
}

void lock_existing(StoreState& state) {
  require_run_dir(state);
  for (const std::string& directory : state.directories()) {
    if (exists(directory)) state.footprint.lock(directory, state.run_id);
  }
}

// Nothing that is not the run's is written over, and no link is followed.
void refuse_others_files(const StoreState& state, const StoreOptions& options) {
  for (const std::string& directory : state.directories()) {
    if (!exists(directory)) continue;
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

void check_choice(const Choice& choice, const Layout& layout) {
  std::string fault = choice.checksums.empty() ? "" : tiling_fault(choice.checksums, layout);
  if (slot_of(choice.manifest) >= state_slots(layout))
    fault = fmt::format("it names slot {} of {}", slot_of(choice.manifest), state_slots(layout));
  if (fault.empty()) return;
  core::throw_storage("use", "the manifest of run " + choice.manifest.run_id, fault, "use the version of greedysnake that wrote it");
}

// The run's layout and, in the run's order, the folders that its paths are now.
void take_geometry(StoreState& state, const Manifest& manifest, Geometry geometry, const Layout& scratch, const std::vector<Copy>& copies) {
  for (const Kind kind : kScratchKinds) geometry.layout.kinds[index_of(kind)] = scratch.kinds[index_of(kind)];
  state.names = names_from(manifest.storage);
  const std::vector<std::string> given = std::exchange(state.ssd_paths, geometry.paths);
  state.set_layout(geometry.layout, geometry.stripe_weights);
  state.ssd_paths = match_paths(state, manifest, geometry, given, copies);
  state.run_id = manifest.run_id;
  state.footprint.set_run_id(manifest.run_id);
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

struct Found {
  std::vector<Copy> copies;
  Choice choice;
};

std::vector<Copy> read_present_copies(const StoreState& state) {
  std::vector<std::string> present = state.directories();
  std::erase_if(present, [](const std::string& directory) { return !exists(directory); });
  return read_copies(present);
}

// The run's first SSD path, wherever it is now; any manifest tells, be it of a commit that is no more. Empty: there is none.
std::string find_pinned_path(StoreState& state) {
  const std::vector<Copy> copies = read_present_copies(state);
  refuse_foreign(copies);
  const auto any = std::find_if(copies.begin(), copies.end(), [](const Copy& copy) { return copy.any() != nullptr; });
  if (any == copies.end()) return {};
  take_geometry(state, *any->any(), parse_geometry(*any->any(), state.run_dir), {}, copies);
  return state.ssd_paths[0];
}

// Which commit counts, and where its files are now.
Found find_commit(StoreState& state, const Layout& scratch, std::optional<std::uint64_t> generation = {}) {
  Found found{read_present_copies(state), {}};
  refuse_foreign(found.copies);
  refuse_of_the_original(state.run_dir, state.ssd_paths, found.copies, state.reads_only);
  found.choice = generation ? choose(found.copies, state.run_dir, *generation) : choose(found.copies, state.run_dir);
  take_geometry(state, found.choice.manifest, parse_geometry(found.choice.manifest, state.run_dir), scratch, found.copies);
  check_choice(found.choice, state.layout);
  state.generation = found.choice.newest_seen;
  return found;
}

void ask_whether_to_go_on(const StoreState& state, const StoreOptions& options, const Manifest& last) {
  const std::shared_ptr<const Committed> earlier = options.from_step ? find_step(state.snapshots(), last, *options.from_step) : nullptr;
  if (options.accept) options.accept(earlier ? earlier->manifest.training : last.training, state.layout);
}

// A drive that can't be written to can be read: io_uring and cuFile are probed with a file there.
void start_reading_engine(StoreState& state, StoreOptions options) {
  try {
    state.start_engine(options);
  } catch (const Error& error) {
    if (options.engine == io::EngineChoice::io_uring || error.kind() == ErrorKind::usage) throw;
    spdlog::debug("{}", error.what());
    options.engine = io::EngineChoice::threads;
    state.start_engine(options);
  }
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

std::unique_ptr<Store> Store::open_reader(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->footprint.keep_state();
  impl->reads_only = true;
  impl->resolve(options);
  require_run_dir(*impl);
  Found found;
  // Until the run that was pinned is the one that is found: another may have taken its place in between.
  for (std::string pinned; pinned.empty() || pinned != impl->ssd_paths[0];) {
    pinned = find_pinned_path(*impl);
    impl->pin.reset();
    if (!pinned.empty()) impl->pin = Pin::share(impl->pin_path());
    impl->resolve(options);
    found = find_commit(*impl, {});
  }
  impl->set_snapshots(read_snapshots(*impl));
  start_reading_engine(*impl, options);
  impl->open_base(options);
  for (const Kind kind : kStateKinds) impl->open_files(kind, options.direct);
  auto store = std::unique_ptr<Store>(new Store(std::move(impl)));
  store->settle(found.choice, found.copies, false);
  return store;
}

}  // namespace gsnake::store
