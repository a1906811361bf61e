// Writing all of some bytes with a call that may write a part of them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <system_error>

#include "core/errors.h"
#include "io/interrupted.h"
#include "io/transfer_state.h"

namespace gsnake::io {

// Calls `write(rest, done)`, which is as write(2) for the bytes that are left when `done` are written, until none are. Empty, or what went
// wrong.
template <typename Write>
[[nodiscard]] std::error_code write_all(std::span<const std::byte> bytes, const Write& write) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t written = retry_interrupted([&] { return write(bytes.subspan(done), done); });
    if (written < 0) return core::errno_code();
    if (written == 0) return make_error_code(IoFailure::no_progress);
    done += static_cast<std::size_t>(written);
  }
  return {};
}

}  // namespace gsnake::io
