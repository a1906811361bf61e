// Calls that a signal may interrupt.
#pragma once

#include <cerrno>

namespace gsnake::store {

// As io::TransferState's: a call that is interrupted this often in a row will not get through.
inline constexpr int kMostRetries = 64;

// `call` as a system call is: negative and errno on failure. What it returns when it fails otherwise than by EINTR, or too often.
template <typename Call>
auto retrying(Call call) {
  auto result = call();
  for (int retries = 0; result < 0 && errno == EINTR && retries < kMostRetries; ++retries) result = call();
  return result;
}

}  // namespace gsnake::store
