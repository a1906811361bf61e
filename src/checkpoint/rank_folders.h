// What one rank or several have left in a run's folders, and which of it is the run: docs/storage.md, "Runs of several ranks".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/opening/locate.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// One rank's folders as they are now, and the commits that they tell of, newest first.
struct ShareFound {
  store::ShareFolders folders;  // run_dir is empty where nothing of the rank was found
  std::vector<store::FoundCommit> commits;
};

// What ranks of one number have left: the run, or what a change of their number that was cut short, or one that was not cleaned up after, has.
struct RunFound {
  int ranks = 1;
  std::vector<ShareFound> shares;           // by rank
  std::optional<store::CommonCommit> last;  // that every rank tells of
  std::string fault;                        // why there is none
  bool counted = false;                     // some rank says that a commit was published: once, every rank had it
  bool elsewhere = false;                   // some rank's run.dir is lost, or was another folder: it may be another run's, which keeps this on the same drives
  std::int64_t newest_step = -1;            // that any rank tells of
  std::int64_t reshardings = 0;             // how often the number of ranks had changed
  std::vector<std::string> folders;         // all that are there, be there a commit in them or what a kill has left: for store::ReplacedRun
};

// By number of ranks, ascending. `run_dir` and `ssd_paths` are as the config has them: "{local_rank}" stands for every number that leads to a folder. An SSD
// path that is recorded elsewhere than those is looked for where its run's manifest says. Takes no lock. Manifests that can't be used are a `fault`; throws Error(storage) where a folder can't be looked into.
std::vector<RunFound> find_runs(const std::string& run_dir, const std::vector<std::string>& ssd_paths);

// The one that is the run: of those that are whole, the one whose number of ranks was changed last; of equals the newest step's, then that of `preferred`
// ranks. nullptr: there is no commit of any. Throws Error(storage) where one that is not whole (a rank's folders are missing, or tell of no commit in common) would
// come before all that are, with what is missing.
const RunFound* choose_run(const std::vector<RunFound>& found, int preferred);

// Before a new run of so many ranks is made: throws Error(usage) where there is a run of another number.
void refuse_other_runs(const std::vector<RunFound>& found, const std::string& run_dir, int ranks);
// What runs of other numbers of ranks have left, but for `kept` (one of `found`, or null) and what may be another run's: to be removed once a run of `ranks` has published
// a commit that was made of it, or where it is to be discarded.
std::vector<std::string> folders_of_other_runs(const std::vector<RunFound>& found, int ranks, const RunFound* kept = nullptr);

// Whether there is a commit, whole or not, of any number of ranks: in the folders under run.dir or, if asked, in those under ssd.paths.
[[nodiscard]] bool holds_run(const std::string& run_dir, const std::vector<std::string>& ssd_paths, bool looks_at_ssd_paths);

// What the newest commit says that any rank tells of, be it whole or not: the model, and the config but for places, are every rank's. Nothing where
// there is none; throws Error(storage) where none can be read.
std::optional<nlohmann::json> any_training(const std::string& run_dir, const std::vector<std::string>& ssd_paths);

// A run that is named by a folder: its run.dir, one of its SSD paths, or a folder of one of its ranks.
struct RunPlace {
  std::string run_dir;
  std::vector<std::string> ssd_paths;  // as a config would name them, but without "{local_rank}"
  std::vector<store::Place> shares;    // by rank, each with its manifest of the run's last commit; of one rank, these are its folders

  [[nodiscard]] const nlohmann::json& training() const { return shares.front().manifest.training; }
};

// As store::locate(), of which it has the parameters and the errors, for any number of ranks.
RunPlace locate_run(const std::string& directory, const std::vector<std::string>& ssd_paths = {});

// The last commit of the run whose run.dir and ssd.paths `options` has, for reading: of any number of ranks, as one. As store::Store::open_reader().
std::unique_ptr<store::Store> open_reader(const store::StoreOptions& options);

}  // namespace gsnake::checkpoint
