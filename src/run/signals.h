// SIGINT and SIGTERM as a request to stop after the step in hand.
#pragma once

#include <signal.h>

namespace gsnake::run {

// While one lives, the first SIGINT or SIGTERM is only noted, and a second one ends the process at once with the first one's status. At
// most one at a time, made and destroyed by one thread; requested() is safe from any.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came first; 0: none.
  [[nodiscard]] int requested() const noexcept;

 private:
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
};

// What a shell reports of a process that such a signal ended.
constexpr int exit_status_of(int signal_number) { return 128 + signal_number; }

}  // namespace gsnake::run
