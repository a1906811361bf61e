// What the ranks of a run tell one another between steps, so that all stop after the same one, and one of them can report for all.
#pragma once

#include <cstdint>

#include "dist/rank_group.h"
#include "greedysnake/results.h"

namespace gsnake::run {

// On the thread that trains; every rank calls the same, in the same order. Of one rank (a null group), its own answers are everybody's.
class AllRanks {
 public:
  explicit AllRanks(dist::RankGroup* group) : group_(group) {}

  // Why to stop, of any rank (StopRequests); 0: nothing.
  [[nodiscard]] int reason_to_stop(int own);
  // Bytes of all ranks together; times, and the process's peak memory, of the slowest and the largest.
  void sum_up(StepResult& result, Traffic& traffic, std::uint64_t& rss_peak_bytes);

 private:
  dist::RankGroup* group_;
};

}  // namespace gsnake::run
