// Small helpers for threads.
#pragma once

#include <future>
#include <string>
#include <thread>
#include <utility>

namespace gsnake::core {

// Names the calling thread for debuggers, top and traces. The kernel keeps 15 bytes: a longer name is cut.
void set_thread_name(const std::string& name) noexcept;

// As the kernel has it; empty when it can't be read.
[[nodiscard]] std::string thread_name();

// Keeps signals away from the calling thread, so that handlers run on the program's own threads. SIGXFSZ among them: a write beyond the
// file size limit then fails with EFBIG instead of ending the process. Signals for a thread's own faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
// SIGTRAP) stay.
void block_signals() noexcept;

// Runs `work` on a thread that ends with it, and returns or throws as it does. OpenMP keeps threads for each thread that ever asked for some, and
// lets all of them wait less patiently once they outnumber the cores: what computes only now and then should leave none behind.
template <typename Work>
auto on_own_thread(Work&& work) {
  std::packaged_task<decltype(work())()> task(std::forward<Work>(work));
  auto result = task.get_future();
  std::thread thread(std::move(task));
  thread.join();
  return result.get();
}

}  // namespace gsnake::core
