// Keeps a commit from being overwritten while another process reads it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/unique_fd.h"

namespace gsnake::store {

// An flock on a file in the first SSD path (FileNames::pin()), which everybody knows who has found a manifest: shared by readers, exclusive to the trainer while it
// replaces the last commit. So a reader that holds it and then looks for the newest manifest reads a commit whose slot stays as it is. The
// kernel drops the lock when a process dies. The file lives as long as the run: removing it would let a reader and a trainer hold different
// ones. Move-only.
class Pin {
 public:
  // Shared; waits while a commit is being replaced. Nothing where the folder can't be written to and holds no such file: then no trainer of
  // this user can replace anything either. Throws Error(storage).
  static std::optional<Pin> share(const std::string& path);
  // The same without waiting: false where a commit is being replaced.
  static bool try_share(const std::string& path, std::optional<Pin>& pin);
  // Not yet locked; makes the file if it is absent. Throws Error(storage).
  static Pin open(const std::string& path);

  // False while a reader holds it. Throws Error(storage) where the file system has no locks.
  [[nodiscard]] bool try_exclude_readers();
  // Waits until no reader holds it. Tells the log once, and calls `waiting` (may be empty) again and again: what it throws ends the wait.
  void exclude_readers(const std::function<void()>& waiting);
  void admit_readers() noexcept;

 private:
  Pin(core::UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  core::UniqueFd fd_;
  std::string path_;
};

}  // namespace gsnake::store
