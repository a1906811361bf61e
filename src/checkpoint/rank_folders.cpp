#include "checkpoint/rank_folders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <tuple>

#include "core/errors.h"
#include "greedysnake/ranks.h"
#include "store/folder/claim.h"
#include "store/folder/paths.h"
#include "store/folder/share_folder.h"
#include "store/manifest/manifest.h"

namespace gsnake::checkpoint {
namespace {

using Folders = std::vector<std::string>;

bool is_folder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

void add_once(Folders& folders, const std::string& path) {
  if (std::none_of(folders.begin(), folders.end(), [&](const std::string& other) { return store::same_folder(other, path); })) folders.push_back(path);
}

// What an entry of ssd.paths, or run.dir, is on this machine: several folders where it depends on the rank.
Folders expand(const std::string& path) {
  constexpr int kMostLocalRanks = 256;
  Folders folders{store::resolved(folder_of_rank(path, 0, 1, 0))};
  if (folder_of_rank(path, 0, 1, 1) == folder_of_rank(path, 0, 1, 0)) return folders;
  for (int local = 1; local < kMostLocalRanks; ++local) {
    if (const std::string folder = folder_of_rank(path, 0, 1, local); is_folder(folder)) add_once(folders, store::resolved(folder));
  }
  return folders;
}

// run.dir first.
Folders bases_of(const std::string& run_dir, const std::vector<std::string>& ssd_paths) {
  Folders bases = expand(run_dir);
  for (const std::string& path : ssd_paths) {
    for (const std::string& folder : expand(path)) add_once(bases, folder);
  }
  return bases;
}

std::string base_of_share(const std::string& folder) {
  const std::optional<store::ShareFolder> share = store::share_of(folder);
  return share ? share->base : folder;
}

bool tells_of_a_run(const std::string& folder) { return store::holds_manifest(folder) || store::holds_staged_manifest(folder); }

// The folders below each base, by number of ranks and by rank.
using FoundFolders = std::map<int, std::map<int, Folders>>;

FoundFolders folders_below(const Folders& bases) {
  FoundFolders found;
  for (const std::string& base : bases) {
    if (tells_of_a_run(base) || store::read_claim(base)) add_once(found[1][0], base);
    for (const store::ShareFolder& share : store::share_folders_in(base)) {
      if (tells_of_a_run(share.path) || store::read_claim(share.path)) add_once(found[share.ranks][share.rank], share.path);
    }
  }
  return found;
}

class Finder {
 public:
  Finder(const std::string& run_dir, const std::vector<std::string>& ssd_paths) : given_(ssd_paths), bases_(bases_of(run_dir, ssd_paths)) {
    given_.insert(given_.begin(), run_dir);
  }

  std::vector<RunFound> find() {
    std::vector<RunFound> runs;
    for (const auto& [ranks, by_rank] : folders_below(bases_)) runs.push_back(run_of(ranks, by_rank));
    return runs;
  }

 private:
  RunFound run_of(int ranks, const std::map<int, Folders>& by_rank) {
    RunFound run;
    run.ranks = ranks;
    run.shares.resize(static_cast<std::size_t>(ranks));
    for (const auto& [rank, folders] : by_rank) {
      try {
        examine(run, rank, folders);
      } catch (const Error& error) {
        add_fault(run, error.what());
      } catch (const nlohmann::json::exception& error) {
        add_fault(run, fmt::format("the manifest of rank {} is not a training run's: {}", rank, error.what()));
      }
    }
    if (run.fault.empty()) name_what_is_missing(run);
    if (run.fault.empty()) find_last(run);
    return run;
  }

  void examine(RunFound& run, int rank, const Folders& folders) {
    ShareFound& share = run.shares[static_cast<std::size_t>(rank)];
    const std::optional<store::Place> place = locate(folders);
    for (const std::string& folder : folders) {
      if (is_of(folder, place)) run.folders.push_back(folder);
    }
    if (!place) return;
    run.elsewhere = run.elsewhere || !is_of_run_dir(*place);
    share.folders = {place->run_dir, place->ssd_paths};
    for (const std::string& folder : place->ssd_paths) {
      if (is_folder(folder) && is_of(folder, place)) add_once(run.folders, folder);
    }
    store::StoreOptions options;
    options.run_dir = place->run_dir;
    options.ssd_paths = place->ssd_paths;
    share.commits = store::Store::commits_of(options);
    // One rank counts what it has published.
    if (run.ranks == 1) std::erase_if(share.commits, [](const store::FoundCommit& commit) { return commit.standing == store::FoundCommit::Standing::prepared; });
    for (const store::FoundCommit& commit : share.commits) take(run, rank, commit);
  }

  // By the first of the folders, run.dir's before others, that tells of a run of this run.dir.
  std::optional<store::Place> locate(const Folders& folders) const {
    for (const std::string& folder : folders) {
      std::optional<store::Place> place = store::locate_share(folder, folders);
      if (!place) continue;
      if (place->run_dir == folder || is_of_run_dir(*place)) return place;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool is_of_run_dir(const store::Place& place) const { return store::same_folder(base_of_share(place.run_dir), bases_.front()); }

  // What holds another run is not this one's, nor is an SSD path of the run that this is a copy of; what a kill left tells of none, nor does what is torn.
  [[nodiscard]] bool is_of(const std::string& folder, const std::optional<store::Place>& place) const {
    if (!tells_of_a_run(folder)) return store::read_claim(folder).has_value();
    const std::optional<store::Place> own = store::locate_share(folder, {});
    if (!own) return store::same_folder(base_of_share(folder), bases_.front());
    return place && own->manifest.run_id == place->manifest.run_id && !store::belongs_elsewhere(place->run_dir, folder, own->manifest);
  }

  static void take(RunFound& run, int rank, const store::FoundCommit& commit) {
    const nlohmann::json& training = commit.training;
    if (training.value("ranks", run.ranks) != run.ranks || training.value("rank", rank) != rank) {
      const std::string& folder = run.shares[static_cast<std::size_t>(rank)].folders.run_dir;
      add_fault(run, fmt::format("{} holds what rank {} of {} left", folder, training.value("rank", 0), training.value("ranks", 1)));
    }
    run.counted = run.counted || commit.standing != store::FoundCommit::Standing::prepared;
    run.newest_step = std::max(run.newest_step, store::step_of(training).value_or(-1));
    run.reshardings = std::max(run.reshardings, training.value("reshardings", std::int64_t{0}));
  }

  static void add_fault(RunFound& run, const std::string& fault) {
    if (run.fault.empty()) run.fault = fault;
  }

  void name_what_is_missing(RunFound& run) const {
    for (int rank = 0; rank < run.ranks; ++rank) {
      if (!run.shares[static_cast<std::size_t>(rank)].folders.run_dir.empty()) continue;
      Folders looked;
      for (const std::string& path : given_) add_once(looked, run.ranks == 1 ? path : fmt::format("{}/rank-{}/of-{}", path, rank, run.ranks));
      return add_fault(run, fmt::format("nothing of rank {} is in {}", rank, fmt::join(looked, " or ")));
    }
  }

  static void find_last(RunFound& run) {
    std::vector<std::vector<store::FoundCommit>> told;
    for (const ShareFound& share : run.shares) told.push_back(share.commits);
    run.last = store::newest_common(told);
    if (!run.last) run.fault = store::nothing_in_common(told);
  }

  std::vector<std::string> given_;
  const Folders bases_;
};

bool comes_before(const RunFound& a, const RunFound& b, int preferred) {
  return std::tuple(a.reshardings, a.last->step, a.ranks == preferred) > std::tuple(b.reshardings, b.last->step, b.ranks == preferred);
}

}  // namespace

std::vector<RunFound> find_runs(const std::string& run_dir, const std::vector<std::string>& ssd_paths) { return Finder(run_dir, ssd_paths).find(); }

const RunFound* choose_run(const std::vector<RunFound>& found, int preferred) {
  const RunFound* chosen = nullptr;
  for (const RunFound& run : found) {
    if (run.last && (chosen == nullptr || comes_before(run, *chosen, preferred))) chosen = &run;
  }
  for (const RunFound& run : found) {
    if (run.last || !run.counted) continue;
    if (chosen != nullptr && std::tuple(run.reshardings, run.newest_step) <= std::tuple(chosen->reshardings, chosen->last->step)) continue;
    core::throw_storage("use", fmt::format("the run of {} rank{}", run.ranks, run.ranks == 1 ? "" : "s"), run.fault,
                        "mount the drives that hold it; of ranks on several machines, share or copy the folders of all to this one");
  }
  return chosen;
}

bool holds_run(const std::string& run_dir, const std::vector<std::string>& ssd_paths, bool looks_at_ssd_paths) {
  bool prepared = false;
  for (const std::string& base : bases_of(run_dir, looks_at_ssd_paths ? ssd_paths : Folders())) {
    if (store::holds_manifest(base)) return true;
    for (const store::ShareFolder& share : store::share_folders_in(base)) {
      if (store::holds_manifest(share.path)) return true;
      prepared = prepared || store::holds_staged_manifest(share.path);
    }
  }
  if (!prepared) return false;
  const std::vector<RunFound> found = find_runs(run_dir, ssd_paths);
  return std::any_of(found.begin(), found.end(), [](const RunFound& run) { return run.last.has_value(); });
}

void refuse_other_runs(const std::vector<RunFound>& found, const std::string& run_dir, int ranks) {
  for (const RunFound& run : found) {
    if (run.ranks == ranks || (!run.counted && !run.last)) continue;
    throw Error(ErrorKind::usage, fmt::format("{} holds a run of {}: go on with it (--resume must), discard it (--overwrite), or choose another folder", run_dir,
                                              run.ranks == 1 ? "one rank" : fmt::format("{} ranks", run.ranks)));
  }
}

std::vector<std::string> folders_of_other_runs(const std::vector<RunFound>& found, int ranks, const RunFound* kept) {
  Folders folders;
  for (const RunFound& run : found) {
    if (&run != kept && run.ranks != ranks && !run.elsewhere) folders.insert(folders.end(), run.folders.begin(), run.folders.end());
  }
  return folders;
}

}  // namespace gsnake::checkpoint
