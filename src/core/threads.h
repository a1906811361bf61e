// Small helpers for threads.
#pragma once

#include <string>

namespace gsnake::core {

// Names the calling thread for debuggers, top and traces. The kernel keeps 15 bytes: a longer name is cut.
void set_thread_name(const std::string& name) noexcept;

// As the kernel has it; empty when it can't be read.
[[nodiscard]] std::string thread_name();

}  // namespace gsnake::core
