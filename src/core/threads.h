// Small helpers for threads.
#pragma once

#include <string>

namespace gsnake::core {

// Names the calling thread for debuggers, top and traces. The kernel keeps 15 bytes: a longer name is cut.
void set_thread_name(const std::string& name) noexcept;

// As the kernel has it; empty when it can't be read.
[[nodiscard]] std::string thread_name();

// Keeps signals away from the calling thread, so that handlers run on the program's own threads. SIGXFSZ among them: a write beyond the
// file size limit then fails with EFBIG instead of ending the process. Signals for a thread's own faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
// SIGTRAP) stay.
void block_signals() noexcept;

}  // namespace gsnake::core
