// Ranks that are threads of one process: the collectives of each wait for all others in one place, and their agreements in another.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/agreement.h"
#include "runtime/collective.h"

namespace gsnake::runtime::test {

// Outlives its ranks' collectives.
class Meeting {
 public:
  explicit Meeting(int ranks) : calls_(static_cast<std::size_t>(ranks)) {}
  std::unique_ptr<Collective> rank(int rank);
  // Of a meeting of its own.
  std::unique_ptr<Agreement> agreement(int rank);

 private:
  class Member;
  class Voice;
  struct Call {
    CollectiveCall call;
    std::byte* source = nullptr;
    std::span<const double> said;
  };

  [[nodiscard]] int ranks() const { return static_cast<int>(calls_.size()); }
  void come(int rank, const Call& call);
  void leave(int rank) noexcept;
  // Until everybody is here. Throws once somebody has left.
  void wait_for_all(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call> calls_;  // by rank; read by all between two waits
  int here_ = 0;
  int round_ = 0;
  int left_ = -1;  // the rank that left first
};

}  // namespace gsnake::runtime::test
