// Memory that io_uring locks: rings (since Linux 6.14) and registered buffers. Its limit is the user's, not the process's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/engine.h"

namespace gsnake::io {

// RLIMIT_MEMLOCK in bytes; the largest number where there is none.
[[nodiscard]] std::uint64_t memlock_limit() noexcept;

// "raise the limit of locked memory (ulimit -l), which is 8.00 MiB for all processes of this user together".
[[nodiscard]] std::string memlock_remedy();

// What `make` returns for `depth`, or for half of it again and again, down to a few, while it throws Error(storage) with ENOMEM; a
// smaller depth than asked for is told to the log. What a ring that was closed had locked is given back a moment later: when every depth
// is refused, all are tried again after a pause, a few times. Then the last error is thrown on.
std::unique_ptr<IoEngine> make_within_locked_memory(unsigned depth, const std::function<std::unique_ptr<IoEngine>(unsigned depth)>& make);

}  // namespace gsnake::io
