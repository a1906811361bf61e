// Exclusive use of a directory by one process.
#pragma once

#include <string>

#include "core/unique_fd.h"

namespace gsnake::store {

// An flock on DIR/lock, which holds "pid run_id". The kernel drops it when its process dies, so a stale lock is simply taken over.
class DirectoryLock {
 public:
  // Throws Error(storage): "DIR is in use by process PID (run RUN_ID); stop it or choose another folder".
  static DirectoryLock acquire(const std::string& directory, const std::string& run_id);
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  // Removes the lock file too (the folder is about to go).
  void remove() noexcept;

 private:
  core::UniqueFd fd_;
  std::string directory_;
};

}  // namespace gsnake::store
