#include "run/phase_watch.h"

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/log.h"

namespace gsnake::run {

PhaseWatch::PhaseWatch(const StopRequests& stops, Heartbeat::Timing timing)
    : stops_(stops), heartbeat_([this](double waited_seconds) { report(waited_seconds); }, timing) {}

void PhaseWatch::enter(const std::string& what, std::uint64_t done, std::uint64_t total) {
  bool is_new = false;
  {
    const std::lock_guard lock(mutex_);
    is_new = what != phase_;
    if (is_new) phase_ = what;
    done_ = done;
    total_ = total;
  }
  if (!is_new && wait_) return;
  wait_.reset();
  wait_.emplace(heartbeat_);
}

void PhaseWatch::enter_or_stop(const std::string& what, std::uint64_t done, std::uint64_t total) {
  if (const int reason = stops_.requested(); reason != 0) throw Stopped(reason);
  enter(what, done, total);
}

void PhaseWatch::leave() {
  wait_.reset();
  left_ = true;
}

void PhaseWatch::report(double waited_seconds) {
  const std::lock_guard lock(mutex_);
  const std::string progress = total_ == 0 ? "" : fmt::format(", {} of {}", core::format_bytes(done_), core::format_bytes(total_));
  spdlog::warn("waiting for {:.0f} s; {}{}", waited_seconds, phase_, progress);
}

}  // namespace gsnake::run
