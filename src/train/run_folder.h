// run.dir where several ranks have folders of their own below it.
#pragma once

#include <optional>
#include <string>

#include "greedysnake/config.h"
#include "store/folder/lock.h"
#include "store/store.h"

namespace gsnake::train {

// run.dir, or what a rank has below it, with the folders above; it may be there. Throws Error(storage).
void make_run_folder(const std::string& path);

// Held by rank 0 while it trains, so that no run of another number of ranks, or of one, uses the folder. Nothing at the other ranks, or where there is one: its
// store holds the folder. Move-only.
class RunFolder {
 public:
  // Before anything in it is touched. Throws Error(storage): it is in use, or holds something under a name of ours that is not ours.
  explicit RunFolder(const Config& config);
  RunFolder(RunFolder&&) noexcept = default;
  RunFolder& operator=(RunFolder&&) noexcept = default;
  ~RunFolder();

  // Says that it is a run's; that goes with `store`'s files if the run never commits. Throws Error(storage).
  void belongs_to(store::Store& store);

 private:
  std::optional<store::DirectoryLock> lock_;
};

}  // namespace gsnake::train
