// Which commit of a run counts, and where its files are now.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/manifest/copies.h"
#include "store/state.h"

namespace gsnake::store {

[[nodiscard]] bool is_folder(const std::string& path);
// Throws Error(storage) where the state's run_dir is none.
void require_run_dir(const StoreState& state);

// Of the folders of the state that are there.
std::vector<Copy> read_present_copies(const StoreState& state);

struct Found {
  std::vector<Copy> copies;
  Choice choice;
};

// Gives `state` the run's id, layout and file names and, in the run's order, the folders that its paths are now; scratch is laid out as `scratch` says. Throws
// Error(storage) as Store::open().
Found find_commit(StoreState& state, const Layout& scratch, std::optional<std::uint64_t> generation = {});
// The run's first SSD path, wherever it is now; any manifest tells, be it of a commit that is no more. Empty: there is none.
std::string find_pinned_path(StoreState& state);

}  // namespace gsnake::store
