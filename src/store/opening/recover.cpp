// What open() does once the files are open: doubt what must be doubted, and leave all directories with one and the same commit.
#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "store/manifest/commit.h"
#include "store/manifest/copies.h"
#include "store/snapshot/snapshot.h"

namespace gsnake::store {
namespace {

// What a folder's copy is to the commit that counts.
enum class CopyStanding : std::uint8_t { same, behind, prepared, other };

CopyStanding standing_of(const Copy& copy, const Manifest& commit) {
  if (copy.valid() && copy.manifest->generation == commit.generation) return CopyStanding::same;
  const bool later = copy.valid() && copy.manifest->generation > commit.generation;
  if (!later && copy.staged && same_commit(*copy.staged, commit)) return CopyStanding::prepared;
  return copy.valid() && !later ? CopyStanding::behind : CopyStanding::other;
}

// Nothing of a commit that was torn, or that never returned, may be left for a later start to find: its slot is written to from now on. And
// a manifest that a killed process has renamed may not be on its drive yet, though we found it.
void bring_up_to_date(StoreState& state, const Committed& commit, const std::vector<Copy>& copies, bool layout_changed) {
  std::vector<std::string> prepared;
  std::vector<std::string> behind;
  std::vector<std::string> to_replace;
  for (const std::string& directory : state.directories()) {
    const auto copy = std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.directory == directory; });
    const CopyStanding standing = copy == copies.end() ? CopyStanding::other : standing_of(*copy, commit.manifest);
    if (standing == CopyStanding::prepared) prepared.push_back(directory);
    if (standing != CopyStanding::prepared && copy != copies.end() && copy->staged_there) remove_file(*state.sync, directory + "/" + kStagedName);
    if (standing == CopyStanding::behind) behind.push_back(directory);
    if (standing == CopyStanding::other || (layout_changed && standing != CopyStanding::behind)) to_replace.push_back(directory);
    if (standing == CopyStanding::same && !layout_changed) sync_directory(*state.sync, directory);
  }
  // First, and with its own files: where no other folder has it, staging it anew would lose it for an instant.
  publish_record(state, prepared, kManifestName, Previous::keep);
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
      verify([this, what = fmt::format("checking commit {} before it is taken", choice.manifest.generation)](std::uint64_t done, std::uint64_t total) {
        if (impl_->progress) impl_->progress(what, done, total);
      });
    }
  } catch (const Error& error) {
    throw Error(ErrorKind::storage, fmt::format("run {} has no commit left that counts: {}; and of commit {}: {}", impl_->run_id, choice.faults,
                                                choice.manifest.generation, error.what()));
  }
  if (!impl_->reads_only) bring_up_to_date(*impl_, *impl_->last_commit(), copies, layout_changed);
}

}  // namespace gsnake::store
