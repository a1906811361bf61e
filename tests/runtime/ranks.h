// Ranks that run each step together, as threads of one process: each with a device, a store and an executor of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/meeting.h"
#include "runtime/rig.h"

namespace gsnake::runtime::test {

class Ranks {
 public:
  // late: on devices that take their time.
  Ranks(int count, bool late);

  [[nodiscard]] int count() const { return static_cast<int>(devices_.size()); }
  // `whole` is what one rank alone would run, but for its micro-batches, which are this rank's. In place of the meeting's own collective: borrowed.
  Rig& make(const Setup& whole, int rank, Collective* collective = nullptr);
  [[nodiscard]] Rig& rig(int rank) { return *rigs_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] device::Device& device(int rank) { return *devices_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] Meeting& meeting() { return meeting_; }
  // As one that failed.
  void leave(int rank);

  // On a thread for each rank; what each throws.
  std::vector<std::string> on_each(const std::function<void(int rank)>& work);

 private:
  Meeting meeting_;
  Meeting talk_;
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::vector<std::unique_ptr<Collective>> collectives_;
  std::vector<std::unique_ptr<Agreement>> agreements_;
  std::vector<std::unique_ptr<Rig>> rigs_;
};

}  // namespace gsnake::runtime::test
