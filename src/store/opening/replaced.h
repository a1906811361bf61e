// A run that another has taken the place of: held as long as that is made, then removed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/durable.h"
#include "store/store.h"

namespace gsnake::store {

// Of one rank or of several. One thread at a time.
class ReplacedRun {
 public:
  struct Options {
    std::vector<std::string> names_in_run_dir = {};  // as StoreOptions: they stay, and with them the claim that says that they are a run's
    SetUpProgress progress = {};                     // told of while remove() waits; what it throws ends that
    io::SyncOps* sync = nullptr;                     // borrowed; nullptr: the kernel's
  };
  // Locks those of `folders` that are there, so that nobody trains the run. Throws Error(storage): one is in use, or holds something under a name of ours that
  // is not ours.
  explicit ReplacedRun(const std::vector<std::string>& folders, const Options& options);
  ReplacedRun(ReplacedRun&& other) noexcept;
  ~ReplacedRun();  // lets go of what is left

  // Waits for those who read it, then removes its manifests, its files and its claims, in this order; of folders rank-I/of-N, those too if they are empty
  // then. What is not a run's stays. A kill on the way leaves claims, which say that the rest is to be removed. Once. Throws Error(storage).
  void remove();

 private:
  struct Held;
  std::unique_ptr<Held> held_;
};

}  // namespace gsnake::store
