// A run that another has taken the place of: held as long as that is made, then removed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/durable.h"
#include "store/store.h"

namespace gsnake::store {

struct StoreState;

class ReplacedRun {
 public:
  // Locks those of `folders` that are there. Throws Error(storage): one is in use, or holds something under a name of ours that is not ours.
  // `progress` (may be empty) and `sync` (borrowed; nullptr: the kernel's) are for remove().
  explicit ReplacedRun(const std::vector<std::string>& folders, SetUpProgress progress = {}, io::SyncOps* sync = nullptr);
  ReplacedRun(ReplacedRun&&) noexcept;
  ~ReplacedRun();  // lets go of what is left

  // Waits for those who read it, then removes its manifests, its files and its claims, in this order, and those of the folders rank-I/of-N that are
  // empty then. What is not a run's stays. A kill on the way leaves folders whose claims say that the rest is to be removed. Throws Error(storage).
  void remove();

 private:
  std::unique_ptr<StoreState> state_;
};

}  // namespace gsnake::store
