// What a run does before its first step and after its last one, for whoever waits: reported when it lasts, stopped by a signal.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>

#include "run/heartbeat.h"
#include "run/signals.h"

namespace gsnake::run {

// A signal came while the run was set up.
class Stopped : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "stopped by a signal before the first step"; }
};

// One thread enters phases; `signals` is borrowed.
class PhaseWatch {
 public:
  explicit PhaseWatch(const StopSignals& signals, Heartbeat::Timing timing = {});

  // What is waited for from now on; the same phase again only tells how far it is (in bytes; 0 of 0: not known).
  void enter(const std::string& what, std::uint64_t done = 0, std::uint64_t total = 0);
  // The same, and throws Stopped once a signal has come.
  void enter_or_stop(const std::string& what, std::uint64_t done, std::uint64_t total);
  void leave();
  // The run is open: steps are trained.
  [[nodiscard]] bool has_left() const { return left_; }

 private:
  void report(double waited_seconds);

  const StopSignals& signals_;
  std::mutex mutex_;
  std::string phase_;  // guarded by mutex_, as the next two
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  Heartbeat heartbeat_;
  bool left_ = false;  // of the thread that enters
  std::optional<Heartbeat::Wait> wait_;  // last: it tells the heartbeat that it ends
};

}  // namespace gsnake::run
