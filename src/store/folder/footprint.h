// What a store has made on disk, and takes away again.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "store/folder/lock.h"

namespace gsnake::store {

// Owns a store's directory locks and the list of the files and directories that it made. Its destructor removes, in this order, the scratch
// files, the state files, the claims, the locks with their files, and the directories from the innermost out, if they are empty; keep_state() spares
// state files, claims and directories. Removal that fails is logged. Not thread-safe, but for keep_state().
class Footprint {
 public:
  Footprint() = default;
  Footprint(const Footprint&) = delete;
  Footprint& operator=(const Footprint&) = delete;
  ~Footprint();

  // Makes `directory`, an absolute path, with its parents where absent, and syncs the new entries. Throws Error(storage).
  void make_directory(const std::string& directory);
  void lock(const std::string& directory, const std::string& run_id);
  void set_run_id(const std::string& run_id);  // in every lock file
  void add_state_file(std::string path) { state_files_.push_back(std::move(path)); }
  void add_scratch_file(std::string path) { scratch_files_.push_back(std::move(path)); }
  void add_claim(std::string path) { claims_.push_back(std::move(path)); }
  void keep_state() noexcept { keep_state_ = true; }

 private:
  std::vector<std::vector<std::string>> made_directories_;  // of each call; outermost first
  std::vector<DirectoryLock> locks_;
  std::vector<std::string> state_files_;
  std::vector<std::string> scratch_files_;
  std::vector<std::string> claims_;
  std::atomic<bool> keep_state_{false};  // a commit and a snapshot may both say so
};

}  // namespace gsnake::store
