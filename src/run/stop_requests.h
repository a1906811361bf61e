// What ends a run before its last step: a signal, where the run takes them, or its caller.
#pragma once

#include <optional>
#include <stop_token>
#include <utility>

#include "run/signals.h"

namespace gsnake::run {

// By its caller. No signal has this number, and of several ranks' reasons the largest counts.
constexpr int kAskedToStop = 1024;

// Takes signals while it lives, if it is to (then at most one at a time). requested() is safe from any thread.
class StopRequests {
 public:
  StopRequests(std::stop_token asked, bool take_signals) : asked_(std::move(asked)) {
    if (take_signals) signals_.emplace();
  }

  // The signal that came first, or kAskedToStop; 0: nothing.
  [[nodiscard]] int requested() const noexcept {
    const int signal = signals_ ? signals_->requested() : 0;
    return signal == 0 && asked_.stop_requested() ? kAskedToStop : signal;
  }

 private:
  std::stop_token asked_;
  std::optional<StopSignals> signals_;
};

// Of a run that ended for this reason.
constexpr int exit_status_of_stop(int reason) { return reason == 0 || reason == kAskedToStop ? 0 : exit_status_of(reason); }

}  // namespace gsnake::run
