// Exclusive use of a directory by one process.
#pragma once

#include <string>

#include "core/unique_fd.h"

namespace gsnake::store {

inline constexpr const char* kLockName = "gsnake-lock";
inline constexpr const char* kEarlierLockName = "lock";  // of earlier versions

// An flock on DIR/gsnake-lock, which holds "pid run_id". The kernel drops it when its process dies, so a stale lock is simply taken over.
// Move-only; destroying it releases the lock and leaves the file, remove() releases it and takes the file away. Both are safe beside other
// processes that acquire: the file is unlinked only by its holder, and who acquires checks afterwards that the path still names the file it
// locked.
class DirectoryLock {
 public:
  // Does not wait. Throws Error(storage): "DIR is in use by process PID (run RUN_ID); stop it or choose another folder", also where that
  // process is of an earlier version; or with the file's name where it can't be made or is somebody else's.
  static DirectoryLock acquire(const std::string& directory, const std::string& run_id);
  DirectoryLock(DirectoryLock&&) noexcept = default;
  DirectoryLock& operator=(DirectoryLock&&) noexcept = default;

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  // What the file tells about the owner. For a store that learns its run id only after it has locked. Throws Error(storage).
  void set_run_id(const std::string& run_id);
  void remove() noexcept;  // a second call, or one on a moved-from lock, does nothing

 private:
  DirectoryLock(core::UniqueFd fd, std::string directory) : fd_(std::move(fd)), directory_(std::move(directory)) {}

  core::UniqueFd fd_;
  core::UniqueFd earlier_;  // the lock file of an earlier version, if it left one
  std::string directory_;
};

}  // namespace gsnake::store
