// The copies of a run's manifests, and which of them counts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/layout/objects.h"
#include "store/manifest/found_commit.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {

struct Copy {
  std::string directory;
  std::optional<Manifest> manifest;  // as it parses, whether or not its table is whole
  std::string fault;                 // why the commit can't be used: manifest or table torn; empty when it can, or is absent
  std::vector<Checksum> checksums;   // of a commit that can be used
  std::optional<Manifest> previous;
  bool staged_there = false;         // a manifest that was prepared: whole, torn, or of a commit that never came to be
  std::optional<Manifest> staged;    // the same where it and its table are whole

  [[nodiscard]] bool valid() const noexcept { return manifest && fault.empty(); }
  [[nodiscard]] const Manifest* any() const noexcept {
    return manifest ? &*manifest : previous ? &*previous : staged ? &*staged : nullptr;
  }
};

std::vector<Copy> read_copies(const std::vector<std::string>& directories);
// Of the table that `manifest`, in `directory`, names; empty where it names none. Throws Error(storage).
std::vector<Checksum> checksums_of(const std::string& directory, const Manifest& manifest);
// The newest generation that was ever published, as far as the manifests tell, whole or not.
[[nodiscard]] std::uint64_t newest_seen(const std::vector<Copy>& copies);

// Throws Error(storage) where they are of several runs.
void refuse_foreign(const std::vector<Copy>& copies);

struct Choice {
  Manifest manifest;
  std::vector<Checksum> checksums;
  std::uint64_t newest_seen = 0;  // generation: the next commit's is one more
  // The state's slot may have been overwritten since, in part: the commit counts only if all checksums verify.
  bool must_verify = false;
  std::string faults;  // of the copies that can't be used
};

// The newest valid copy, else the newest previous commit whose table is whole. Faulty copies are warned about. Throws Error(storage):
// another run's copy among them, nothing left.
Choice choose(const std::vector<Copy>& copies, const std::string& run_dir);
// The commit of that generation, in whichever way it stands there; of what is later, nothing counts any more. Throws Error(storage): it does not
// stand there, another run's copy among them.
Choice choose(const std::vector<Copy>& copies, const std::string& run_dir, std::uint64_t generation);

// What the copies tell of, as Store::commits_of().
std::vector<FoundCommit> commits_in(const std::vector<Copy>& copies);
// Whether both are copies of one commit, and not only of one generation.
[[nodiscard]] bool same_commit(const Manifest& a, const Manifest& b);

}  // namespace gsnake::store
