#include "store/opening/find.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/errors.h"
#include "store/manifest/checksum_table.h"
#include "store/opening/geometry.h"
#include "store/opening/locate.h"

namespace gsnake::store {

bool is_folder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

void require_run_dir(const StoreState& state) {
  if (!is_folder(state.run_dir)) {
    core::throw_storage("open the run in", state.run_dir, "there is no such folder",
                        "name the run's folder; if it was lost, make an empty one: the SSD paths hold copies of its manifest");
  }
}

namespace {

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

}  // namespace

std::vector<Copy> read_present_copies(const StoreState& state) {
  std::vector<std::string> present = state.directories();
  std::erase_if(present, [](const std::string& directory) { return !is_folder(directory); });
  return read_copies(present);
}

std::string find_pinned_path(StoreState& state) {
  const std::vector<Copy> copies = read_present_copies(state);
  refuse_foreign(copies);
  const auto any = std::find_if(copies.begin(), copies.end(), [](const Copy& copy) { return copy.any() != nullptr; });
  if (any == copies.end()) return {};
  take_geometry(state, *any->any(), parse_geometry(*any->any(), state.run_dir), {}, copies);
  return state.ssd_paths[0];
}

Found find_commit(StoreState& state, const Layout& scratch, std::optional<std::uint64_t> generation) {
  Found found{read_present_copies(state), {}};
  refuse_foreign(found.copies);
  refuse_of_the_original(state.run_dir, state.ssd_paths, found.copies, state.reads_only);
  found.choice = generation ? choose(found.copies, state.run_dir, *generation) : choose(found.copies, state.run_dir);
  take_geometry(state, found.choice.manifest, parse_geometry(found.choice.manifest, state.run_dir), scratch, found.copies);
  check_choice(found.choice, state.layout);
  state.generation = found.choice.newest_seen;
  return found;
}

}  // namespace gsnake::store
