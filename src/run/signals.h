// SIGINT, SIGTERM and SIGHUP as a request to stop after the step in hand; what else would end a run in the middle, as errors of writes.
#pragma once

#include <signal.h>

#include <array>

namespace gsnake::run {

// While one lives, the first SIGINT, SIGTERM or SIGHUP is only noted, and a second one ends the process at once with the first one's status;
// one that the process ignores (nohup, a script's background job) stays ignored. SIGPIPE and SIGXFSZ are ignored: a log or a metrics file that
// takes no more is a write that fails. At most one at a time, made and destroyed by one thread; requested() is safe from any.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came first; 0: none.
  [[nodiscard]] int requested() const noexcept;

 private:
  static constexpr std::array kStopping{SIGINT, SIGTERM, SIGHUP};
  static constexpr std::array kFailingWrites{SIGPIPE, SIGXFSZ};

  std::array<struct sigaction, kStopping.size()> stopping_{};        // as they were before
  std::array<struct sigaction, kFailingWrites.size()> failing_{};
};

// What a shell reports of a process that such a signal ended.
constexpr int exit_status_of(int signal_number) { return 128 + signal_number; }

}  // namespace gsnake::run
