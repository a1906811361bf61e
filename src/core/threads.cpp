#include "core/threads.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>

namespace gsnake::core {
namespace {

constexpr std::size_t kKernelNameBytes = 16;  // with the terminating zero

}  // namespace

void set_thread_name(const std::string& name) noexcept {
  std::array<char, kKernelNameBytes> cut{};
  std::copy_n(name.begin(), std::min(name.size(), cut.size() - 1), cut.begin());
  // A name only helps a reader: that it could not be set changes nothing.
  static_cast<void>(pthread_setname_np(pthread_self(), cut.data()));
}

std::string thread_name() {
  std::array<char, kKernelNameBytes> name{};
  if (pthread_getname_np(pthread_self(), name.data(), name.size()) != 0) return {};
  return name.data();
}

void block_signals() noexcept {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&signals, fault);
  // Fails only for an unknown `how`.
  static_cast<void>(pthread_sigmask(SIG_SETMASK, &signals, nullptr));
}

}  // namespace gsnake::core
