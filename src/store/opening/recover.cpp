// What open() does once the files are open: doubt what must be doubted, and leave all directories with one and the same commit.
#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "store/manifest/commit.h"
#include "store/manifest/copies.h"
#include "store/snapshot/snapshot.h"

namespace gsnake::store {
namespace {

// Nothing of a commit that was torn, or that never returned, may be left for a later start to find: its slot is written to from now on. And
// a manifest that a killed process has renamed may not be on its drive yet, though we found it.
void bring_up_to_date(StoreState& state, const Committed& commit, const std::vector<Copy>& copies, bool layout_changed) {
  std::vector<std::string> behind;
  std::vector<std::string> to_replace;
  for (const std::string& directory : state.directories()) {
    const auto copy = std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.directory == directory; });
    const bool valid = copy != copies.end() && copy->valid();
    if (valid && copy->manifest->generation != commit.manifest.generation) {
      behind.push_back(directory);
    } else if (!valid || layout_changed) {
      to_replace.push_back(directory);
    } else {
      sync_directory(*state.sync, directory);
    }
  }
  write_record(state, behind, kManifestName, commit, Previous::keep);
  write_record(state, to_replace, kManifestName, commit, Previous::leave);
}

}  // namespace

void Store::settle(const Choice& choice, const std::vector<Copy>& copies, bool layout_changed) {
  const Commit commit{slot_of(choice.manifest), choice.manifest.training, choice.checksums};
  const std::optional<TableReference> table = table_of(choice.manifest);
  impl_->set_last_commit(make_record(*impl_, choice.manifest.generation, commit, table ? table->file : std::string()));
  try {
    if (choice.must_verify) {
      verify([this](std::uint64_t done, std::uint64_t total) {
        if (impl_->progress) impl_->progress("checking the commit before the last", done, total);
      });
    }
  } catch (const Error& error) {
    throw Error(ErrorKind::storage, fmt::format("run {} has no commit left that counts: {}; and of commit {}, the one before: {}",
                                                impl_->run_id, choice.faults, choice.manifest.generation, error.what()));
  }
  if (!impl_->reads_only) bring_up_to_date(*impl_, *impl_->last_commit(), copies, layout_changed);
  impl_->set_snapshots(read_snapshots(*impl_));
}

}  // namespace gsnake::store
