// Where a run's folders are now: it may have been moved, or be a copy of another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/manifest/copies.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {

struct Place {
  std::string run_dir;                 // the folder that was named; or the run's own, where that was an SSD path of it
  std::vector<std::string> ssd_paths;  // by the run's path index
  Manifest manifest;                   // the newest that the folder holds whole
};

// Of the run that `directory`, a run directory or an SSD path, holds a commit of. A manifest records where all its folders were. What lay in the run
// directory is looked for in the folder that is named now, never where it was: that may be another run by now. What lay beside it is taken from
// the same place beside the named folder, if that holds the run's manifest, else from where it was. `ssd_paths`, where there are any, are
// taken in the run's order. Throws Error(storage): it holds no commit that can be read.
Place locate(const std::string& directory, const std::vector<std::string>& ssd_paths = {});

// Of a rank's share of a run, or of the run of one rank, `directory` being any of its folders: its first commit may be prepared and not published yet. `candidates` are taken
// where they hold the run, before what is recorded. Nothing where `directory` tells of no run. Throws Error(storage) where what its manifest says can't be used.
std::optional<Place> locate_share(const std::string& directory, const std::vector<std::string>& candidates);

// The run directory that the manifest's commit was written to; empty where it does not say.
[[nodiscard]] std::string recorded_run_dir(const Manifest& manifest);

// Whether `folder`, of whose run `manifest` tells, lies where it was recorded, as that of another run directory than `run_dir`, which is still there.
[[nodiscard]] bool belongs_elsewhere(const std::string& run_dir, const std::string& folder, const Manifest& manifest);

// Throws Error(storage) where `run_dir` is a copy of the run directory that `folders` belong to: one of them lies where it was recorded, as another run
// directory's, which is still there with that run (a writer may not write to it, a reader not take a later commit from it than `run_dir` holds), or holds a
// commit more than one later than run_dir's.
void refuse_of_the_original(const std::string& run_dir, const std::vector<std::string>& folders, const std::vector<Copy>& copies, bool reads_only);

}  // namespace gsnake::store
