#include "store/opening/discard.h"

#include <unistd.h>

#include <cerrno>

#include "core/errors.h"
#include "core/log.h"
#include "store/folder/claim.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {
namespace {

// The names of an earlier version's files, where its run is in the folder or was being discarded.
Claim claim_of_earlier(const std::string& directory) {
  if (std::vector<std::string> earlier = earlier_files_in(directory); !earlier.empty()) return {std::move(earlier)};
  return read_claim(directory).value_or(Claim{});
}

void remove_files_in(io::SyncOps& sync, const std::string& directory) {
  for (std::size_t kind = 0; kind < kKindCount; ++kind) {
    if (kind_at(kind) == Kind::base) continue;
    const std::string path = directory + "/" + FileNames().of(kind_at(kind));
    if (sync.unlink(path.c_str()) == 0) {
      spdlog::info("removed {}, which an earlier run left", path);
    } else if (errno != ENOENT) {
      core::throw_storage("remove", path, core::errno_code(), "remove it by hand or choose another folder");
    }
  }
}

}  // namespace

std::vector<Pin> exclude_readers_of(const std::vector<std::string>& directories, const std::function<void()>& waiting) {
  std::vector<Pin> pins;
  for (const std::string& directory : directories) {
    const std::string pin = directory + "/" + names_used_in(directory).pin();
    const bool may_be_read = holds_manifest(directory) || holds_staged_manifest(directory);
    if (!may_be_read || ::access(pin.c_str(), F_OK) != 0) continue;
    pins.push_back(Pin::open(pin));
    pins.back().exclude_readers(waiting);
  }
  return pins;
}

void discard_run(io::SyncOps& sync, const std::vector<std::string>& directories, Footprint& footprint) {
  std::vector<Claim> claims;
  std::vector<std::string> earlier;  // claims of what is there: what fails on the way leaves them
  for (const std::string& directory : directories) {
    const std::string path = directory + "/" + kClaimName;
    if (read_claim(directory) || holds_manifest(directory)) {
      earlier.push_back(path);
    } else {
      footprint.add_claim(path);
    }
    write_claim(sync, directory, claims.emplace_back(claim_of_earlier(directory)));
  }
  for (const std::string& directory : directories) {
    if (holds_manifest(directory)) spdlog::warn("discarding the run in {}", directory);
    remove_manifests(sync, directory);
  }
  for (const std::string& directory : directories) remove_files_in(sync, directory);
  for (std::size_t i = 0; i < directories.size(); ++i) {
    if (claims[i].also.empty()) continue;
    for (const std::string& name : claims[i].also) remove_file(sync, directories[i] + "/" + name);
    sync_directory(sync, directories[i]);
    write_claim(sync, directories[i], {});
  }
  for (const std::string& path : earlier) footprint.add_claim(path);
}

}  // namespace gsnake::store
