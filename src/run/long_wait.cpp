#include "run/long_wait.h"

#include <algorithm>

namespace gsnake::run {
namespace {

// Tasks of a lane differ in size; one that takes several times as long as any before does not end.
constexpr double kLongerThanAny = 4.0;

double seconds_between(LongWait::Time from, LongWait::Time to) { return std::chrono::duration<double>(to - from).count(); }

}  // namespace

void LongWait::begin(Time now, const WaitSight& sight) {
  if (told_at_ == Time{}) told_at_ = now;
  began_ = advanced_at_ = now;
  done_at_begin_ = done_ = sight.done;
  warned_at_.reset();
}

bool LongWait::stands_still(Time now, const WaitSight& sight) const {
  if (sight.in_hand_seconds > 0.0) return sight.in_hand_seconds >= std::max(pace_.warn_after, std::min(kLongerThanAny * sight.longest_seconds, pace_.warn_at_latest));
  return seconds_between(advanced_at_, now) >= pace_.warn_after;
}

LongWait::Say LongWait::look(Time now, const WaitSight& sight) {
  if (sight.done != done_) advanced_at_ = now;
  done_ = sight.done;
  if (stands_still(now, sight)) {
    if (warned_at_ && seconds_between(*warned_at_, now) < pace_.warn_again_after) return Say::nothing;
    warned_at_ = now;
    return Say::warning;
  }
  if (sight.all == 0 || seconds_between(told_at_, now) < pace_.tell_after) return Say::nothing;
  told_at_ = now;
  return Say::progress;
}

std::optional<double> LongWait::seconds_left(Time now, const WaitSight& sight) const {
  const std::int64_t done = sight.done - done_at_begin_;
  if (done <= 0) return std::nullopt;
  return seconds_between(began_, now) * static_cast<double>(std::max<std::int64_t>(0, sight.all - sight.done)) / static_cast<double>(done);
}

}  // namespace gsnake::run
