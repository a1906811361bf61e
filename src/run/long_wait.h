// What is said of a wait that lasts: how far it is as long as it goes on, a warning once something in it does not end.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "greedysnake/results.h"

namespace gsnake::run {

struct WaitPace {
  double warn_after = 10.0;        // seconds that one task is in hand, or that none is and none ends
  double warn_again_after = 30.0;  // seconds
  double warn_at_latest = 300.0;   // seconds that one task is in hand, however long others of its lane took: one of them may have been stuck too
  double tell_after = 60.0;        // seconds from one line about the run's progress to the next; 0: at every look
};

// Pure but for what it remembers of earlier looks: it is told the time. One wait after another. Not thread-safe.
class LongWait {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Say : std::uint8_t { nothing, progress, warning };

  explicit LongWait(const WaitPace& pace) : pace_(pace) {}

  void begin(Time now, const AwaitedWork& work);
  // A line about the run's progress was written otherwise: a step's.
  void told(Time now) noexcept { told_at_ = now; }
  [[nodiscard]] Say look(Time now, const AwaitedWork& work);
  // At the rate since the wait began; nothing while no task has ended in it.
  [[nodiscard]] std::optional<double> seconds_left(Time now, const AwaitedWork& work) const;

 private:
  [[nodiscard]] bool stands_still(Time now, const AwaitedWork& work) const;

  WaitPace pace_;
  Time began_{};
  std::int64_t done_at_begin_ = 0;
  std::int64_t done_ = 0;
  Time advanced_at_{};
  std::optional<Time> warned_at_;
  Time told_at_{};
};

}  // namespace gsnake::run
