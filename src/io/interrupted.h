// System calls that a signal may interrupt.
#pragma once

#include <cerrno>

namespace gsnake::io {

// A profiler's timer signals come by the hundred a second; what is interrupted more often than this in a row gets nowhere.
inline constexpr int kMaxInterruptions = 1000;

// Calls until the result is not "negative with EINTR", kMaxInterruptions + 1 times at most. The last result, errno with it.
template <typename Call>
auto retry_interrupted(const Call& call) {
  auto result = call();
  for (int i = 0; i < kMaxInterruptions && result < 0 && errno == EINTR; ++i) result = call();
  return result;
}

}  // namespace gsnake::io
