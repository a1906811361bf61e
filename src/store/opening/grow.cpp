#include "store/opening/grow.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/interrupted.h"
#include "store/layout/space.h"

namespace gsnake::store {
namespace {

struct Growth {
  std::string directory;
  std::string path;
  bool is_new = false;
  std::uint64_t from_bytes = 0;  // as it is
  std::uint64_t to_bytes = 0;
};

std::vector<Growth> plan_growth(const StoreState& state, const Layout& before, std::vector<SpaceNeed>& needs) {
  std::vector<Growth> growths;
  for (std::size_t kind = 0; kind < before.kinds.size(); ++kind) {
    if (!is_state(kind_at(kind))) continue;
    for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
      const std::uint64_t had = state.volume->file_bytes(static_cast<int>(path), KindMap(before.kinds[kind]).volume_bytes());
      const std::uint64_t wanted = state.file_bytes(kind_at(kind), path);
      struct stat status {};
      const std::string name = state.file_path(kind_at(kind), path);
      const bool present = ::lstat(name.c_str(), &status) == 0;
      const auto size = static_cast<std::uint64_t>(status.st_size);
      // A file that is too short is damaged, and is refused when it is opened.
      if ((present && (size >= wanted || size < had)) || (!present && (had > 0 || wanted == 0))) continue;
      growths.push_back({state.ssd_paths[path], name, !present, present ? size : 0, wanted});
      needs.push_back({state.ssd_paths[path], wanted - size, 0});
    }
  }
  return growths;
}

// Its length and, where it is new, its name are on the drive when this returns: the manifest that comes next relies on them.
void grow(io::SyncOps& sync, const Growth& growth) {
  const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (growth.is_new ? O_CREAT | O_EXCL : 0);
  const core::UniqueFd fd(io::retry_interrupted([&] { return sync.open(growth.path.c_str(), flags, 0600); }));
  if (!fd) core::throw_storage("open", growth.path, core::errno_code(), "check its permissions");
  const auto begin = static_cast<off_t>(growth.from_bytes);
  const auto bytes = static_cast<off_t>(growth.to_bytes - growth.from_bytes);
  if (io::retry_interrupted([&] { return sync.allocate(fd.get(), begin, bytes); }) != 0 || io::retry_interrupted([&] { return sync.fsync(fd.get()); }) != 0) {
    core::throw_storage(fmt::format("add {} to", core::format_bytes(growth.to_bytes - growth.from_bytes)), growth.path, core::errno_code(),
                        "free some space, or lower run.snapshot_keep");
  }
  if (growth.is_new) sync_directory(sync, growth.directory);
}

void shrink_back(const std::vector<Growth>& growths) noexcept {
  for (const Growth& growth : growths) {
    if (growth.is_new) {
      static_cast<void>(::unlink(growth.path.c_str()));
    } else {
      // What fails leaves a file that is longer than it need be.
      static_cast<void>(!::truncate(growth.path.c_str(), static_cast<off_t>(growth.from_bytes)));
    }
  }
}

}  // namespace

void grow_state_files(const StoreState& state, const Layout& before) {
  std::vector<SpaceNeed> needs;
  const std::vector<Growth> growths = plan_growth(state, before, needs);
  check_space(needs);
  try {
    for (const Growth& growth : growths) grow(*state.sync, growth);
  } catch (...) {
    shrink_back(growths);
    throw;
  }
}

}  // namespace gsnake::store
