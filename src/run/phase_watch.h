// What a run does before its first step and after its last one, for whoever waits: reported when it lasts, stopped by what ends a run.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>

#include "run/heartbeat.h"
#include "run/stop_requests.h"

namespace gsnake::run {

// The run was asked to end while it was set up.
class Stopped : public std::exception {
 public:
  explicit Stopped(int reason) : asked_(reason == kAskedToStop) {}
  [[nodiscard]] const char* what() const noexcept override { return asked_ ? "stopped as asked before the first step" : "stopped by a signal before the first step"; }

 private:
  bool asked_;
};

// One thread enters phases; `stops` is borrowed.
class PhaseWatch {
 public:
  explicit PhaseWatch(const StopRequests& stops, Heartbeat::Timing timing = {});

  // What is waited for from now on; the same phase again only tells how far it is (in bytes; 0 of 0: not known).
  void enter(const std::string& what, std::uint64_t done = 0, std::uint64_t total = 0);
  // The same, and throws Stopped once the run is asked to end.
  void enter_or_stop(const std::string& what, std::uint64_t done, std::uint64_t total);
  void leave();
  // The run is open: steps are trained.
  [[nodiscard]] bool has_left() const { return left_; }

 private:
  void report(double waited_seconds);

  const StopRequests& stops_;
  std::mutex mutex_;
  std::string phase_;  // guarded by mutex_, as the next two
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  Heartbeat heartbeat_;
  bool left_ = false;  // of the thread that enters
  std::optional<Heartbeat::Wait> wait_;  // last: it tells the heartbeat that it ends
};

}  // namespace gsnake::run
