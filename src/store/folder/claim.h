// Which files of a folder are ours to replace and to remove.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/durable.h"
#include "store/folder/names.h"

namespace gsnake::store {

// A file of this name says that the files under our names in its folder are a run's, whatever left them there: a kill, a power cut. It is
// durable before the first of them is made, and goes after the last.
inline constexpr const char* kClaimName = "gsnake-run";

struct Claim {
  std::vector<std::string> also;  // names beside ours: of an earlier version's files while they are being removed
};

// Nothing where there is none, or a file of that name that is somebody else's. Throws Error(storage).
[[nodiscard]] std::optional<Claim> read_claim(const std::string& directory);
// Makes or changes it; durable when this returns. Call refuse_others() before. Throws Error(storage).
void write_claim(io::SyncOps& sync, const std::string& directory, const Claim& claim);

// Throws Error(storage), naming it, where something in the folder has a name of ours and is not ours: anything in a folder that has neither a
// claim nor a manifest of ours, and what is no regular file (a link, a folder) anywhere. `also`: names that the run uses beside ours, of
// files or folders.
void refuse_others(const std::string& directory, std::span<const std::string> also);

// Of a run of an earlier version, as its manifest in the folder tells: what it made there beside tables and manifests, which have today's names.
// Nothing where the folder holds no such manifest; of a run directory that is no SSD path nothing either, as the run has no state there.
[[nodiscard]] std::vector<std::string> earlier_files_in(const std::string& directory);

// What the files of the run in the folder are called: as its manifest says, else as its claim, or the lack of one, tells.
[[nodiscard]] FileNames names_used_in(const std::string& directory);

}  // namespace gsnake::store
