#include "run/long_wait.h"

#include <algorithm>

namespace gsnake::run {
namespace {

// Tasks of a lane differ in size; one that takes several times as long as any before does not end.
constexpr double kLongerThanAny = 4.0;

double seconds_between(LongWait::Time from, LongWait::Time to) { return std::chrono::duration<double>(to - from).count(); }

}  // namespace

void LongWait::begin(Time now, const AwaitedWork& work) {
  if (told_at_ == Time{}) told_at_ = now;
  began_ = advanced_at_ = now;
  done_at_begin_ = done_ = work.tasks_done;
  warned_at_.reset();
}

bool LongWait::stands_still(Time now, const AwaitedWork& work) const {
  if (work.in_hand_seconds > 0.0) return work.in_hand_seconds >= std::max(pace_.warn_after, std::min(kLongerThanAny * work.longest_seconds, pace_.warn_at_latest));
  return seconds_between(advanced_at_, now) >= pace_.warn_after;
}

LongWait::Say LongWait::look(Time now, const AwaitedWork& work) {
  if (work.tasks_done != done_) advanced_at_ = now;
  done_ = work.tasks_done;
  if (stands_still(now, work)) {
    if (warned_at_ && seconds_between(*warned_at_, now) < pace_.warn_again_after) return Say::nothing;
    warned_at_ = now;
    return Say::warning;
  }
  if (work.tasks == 0 || seconds_between(told_at_, now) < pace_.tell_after) return Say::nothing;
  told_at_ = now;
  return Say::progress;
}

std::optional<double> LongWait::seconds_left(Time now, const AwaitedWork& work) const {
  const std::int64_t done = work.tasks_done - done_at_begin_;
  if (done <= 0) return std::nullopt;
  return seconds_between(began_, now) * static_cast<double>(std::max<std::int64_t>(0, work.tasks - work.tasks_done)) / static_cast<double>(done);
}

}  // namespace gsnake::run
