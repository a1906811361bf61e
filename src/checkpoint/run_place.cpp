// A run of any number of ranks as readers name and open it.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "checkpoint/rank_folders.h"
#include "core/errors.h"
#include "store/folder/paths.h"
#include "store/folder/share_folder.h"

namespace gsnake::checkpoint {
namespace {

bool holds_shares(const std::string& folder) { return !store::share_folders_in(folder).empty(); }

// run.dir of the run that the folder is run.dir or an SSD path of, below which its ranks have theirs.
std::string run_dir_of(const std::string& folder) {
  for (const store::ShareFolder& share : store::share_folders_in(folder)) {
    const std::optional<store::Place> place = store::locate_share(share.path, {});
    const std::optional<store::ShareFolder> own = place ? store::share_of(place->run_dir) : std::nullopt;
    if (own) return own->base;
  }
  return folder;
}

store::Manifest manifest_of(const store::FoundCommit& commit) { return {commit.run_id, commit.generation, commit.storage, commit.training}; }

RunPlace place_of(const std::string& run_dir, const RunFound& run) {
  RunPlace place{run_dir, {}, {}};
  for (std::size_t rank = 0; rank < run.shares.size(); ++rank) {
    const ShareFound& share = run.shares[rank];
    const auto commit = std::find_if(share.commits.begin(), share.commits.end(), [&](const store::FoundCommit& each) { return each.generation == run.last->generations[rank]; });
    place.shares.push_back({share.folders.run_dir, share.folders.ssd_paths, manifest_of(*commit)});
    for (const std::string& folder : share.folders.ssd_paths) {
      const std::optional<store::ShareFolder> below = store::share_of(folder);
      const std::string path = below ? below->base : folder;
      if (std::find(place.ssd_paths.begin(), place.ssd_paths.end(), path) == place.ssd_paths.end()) place.ssd_paths.push_back(path);
    }
  }
  return place;
}

RunPlace place_of_one(const std::string& directory, const std::vector<std::string>& ssd_paths) {
  store::Place place = store::locate(directory, ssd_paths);
  if (const auto ranks = place.manifest.training.find("ranks"); ranks != place.manifest.training.end() && *ranks != 1) {
    core::throw_storage("read the run in", directory, fmt::format("it is the share of one of {} ranks", ranks->dump()), "name the run's folder, which holds those of all ranks");
  }
  return {place.run_dir, place.ssd_paths, {place}};
}

// The one that is the run, if that is several ranks'.
const RunFound* choose_of_several(const std::vector<RunFound>& found) {
  const RunFound* chosen = choose_run(found, 1);
  return chosen != nullptr && chosen->ranks > 1 ? chosen : nullptr;
}

std::vector<store::ShareFolders> folders_of(const RunFound& run) {
  std::vector<store::ShareFolders> all;
  for (const ShareFound& share : run.shares) all.push_back(share.folders);
  return all;
}

}  // namespace

std::optional<nlohmann::json> any_training(const std::string& run_dir, const std::vector<std::string>& ssd_paths) {
  std::optional<nlohmann::json> newest;
  std::tuple<std::int64_t, std::int64_t> best{-1, -1};
  std::string fault;
  for (const RunFound& run : find_runs(run_dir, ssd_paths)) {
    if (fault.empty()) fault = run.fault;
    for (const ShareFound& share : run.shares) {
      for (const store::FoundCommit& commit : share.commits) {
        const std::tuple standing{run.reshardings, store::step_of(commit.training).value_or(-1)};
        if (newest && standing <= best) continue;
        newest = commit.training;
        best = standing;
      }
    }
  }
  if (newest || !holds_run(run_dir, ssd_paths, true)) return newest;
  static_cast<void>(locate_run(run_dir));  // says what is wrong with the folder
  core::throw_storage("read the run in", run_dir, fault, "restore one of its folders");
}

RunPlace locate_run(const std::string& directory, const std::vector<std::string>& ssd_paths) {
  if (directory.empty()) return place_of_one(directory, ssd_paths);  // refuses it
  std::string named = store::resolved(directory);
  if (const std::optional<store::ShareFolder> share = store::share_of(named)) named = share->base;
  const bool of_several = holds_shares(named) || std::any_of(ssd_paths.begin(), ssd_paths.end(), holds_shares);
  if (!of_several) return place_of_one(directory, ssd_paths);
  const std::string run_dir = run_dir_of(named);
  const std::vector<std::string> paths = ssd_paths.empty() ? std::vector<std::string>{named} : ssd_paths;
  const std::vector<RunFound> found = find_runs(run_dir, paths);
  const RunFound* run = choose_of_several(found);
  return run != nullptr ? place_of(run_dir, *run) : place_of_one(named, ssd_paths);
}

std::unique_ptr<store::Store> open_reader(const store::StoreOptions& options) {
  const bool may_be_several = holds_shares(options.run_dir) || std::any_of(options.ssd_paths.begin(), options.ssd_paths.end(), holds_shares);
  while (may_be_several) {
    const std::vector<RunFound> found = find_runs(options.run_dir, options.ssd_paths);
    const RunFound* run = choose_of_several(found);
    try {
      return run != nullptr ? store::Store::open_reader(options, folders_of(*run)) : store::Store::open_reader(options);
    } catch (const Error&) {
      // Its number of ranks may have changed meanwhile, and what it was before be gone.
      const std::vector<RunFound> now = find_runs(options.run_dir, options.ssd_paths);
      const RunFound* other = choose_of_several(now);
      if ((other == nullptr ? 1 : other->ranks) == (run == nullptr ? 1 : run->ranks)) throw;
    }
  }
  return store::Store::open_reader(options);
}

}  // namespace gsnake::checkpoint
