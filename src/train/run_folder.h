// run.dir where several ranks have folders of their own below it.
#pragma once

#include <optional>
#include <string>

#include "greedysnake/config.h"
#include "store/folder/lock.h"
#include "store/store.h"

namespace gsnake::train {

// Held by the first rank of each machine while it trains, so that no run of another number of ranks, or of one, uses the folder. Move-only.
class RunFolder {
 public:
  // Says that the folder is a run's; that goes with `store`'s files if the run never commits. Throws Error(storage): it is in use, or holds something under a name of
  // ours that is not ours.
  RunFolder(const Config& config, store::Store& store);
  RunFolder(RunFolder&&) noexcept = default;
  RunFolder& operator=(RunFolder&&) noexcept = default;
  ~RunFolder();

 private:
  std::optional<store::DirectoryLock> lock_;
};

}  // namespace gsnake::train
