// The copies of a run's manifests, and which of them counts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/layout/objects.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {

struct Copy {
  std::string directory;
  std::optional<Manifest> manifest;  // as it parses, whether or not its table is whole
  std::string fault;                 // why the commit can't be used: manifest or table torn; empty when it can, or is absent
  std::vector<Checksum> checksums;   // of a commit that can be used
  std::optional<Manifest> previous;

  [[nodiscard]] bool valid() const noexcept { return manifest && fault.empty(); }
  [[nodiscard]] const Manifest* any() const noexcept { return manifest ? &*manifest : previous ? &*previous : nullptr; }
};

std::vector<Copy> read_copies(const std::vector<std::string>& directories);

// Throws Error(storage) where they are of several runs.
void refuse_foreign(const std::vector<Copy>& copies);

struct Choice {
  Manifest manifest;
  std::vector<Checksum> checksums;
  std::uint64_t newest_seen = 0;  // generation
  // The state's slot may have been overwritten since, in part: the commit counts only if all checksums verify.
  bool must_verify = false;
  std::string faults;  // of the copies that can't be used
};

// The newest valid copy, else the newest previous commit whose table is whole. Faulty copies are warned about. Throws Error(storage):
// another run's copy among them, nothing left.
Choice choose(const std::vector<Copy>& copies, const std::string& run_dir);

}  // namespace gsnake::store
