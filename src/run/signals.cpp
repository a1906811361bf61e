#include "run/signals.h"

#include <unistd.h>

#include <atomic>

namespace gsnake::run {
namespace {

std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use no lock");

extern "C" void note_signal(int signal_number) {
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, signal_number)) ::_exit(exit_status_of(none));
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kStopping.size(); ++i) {
    ::sigaction(kStopping[i], nullptr, &stopping_[i]);
    if (stopping_[i].sa_handler != SIG_IGN) ::sigaction(kStopping[i], &action, nullptr);
  }
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (std::size_t i = 0; i < kFailingWrites.size(); ++i) ::sigaction(kFailingWrites[i], &ignore, &failing_[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStopping.size(); ++i) ::sigaction(kStopping[i], &stopping_[i], nullptr);
  for (std::size_t i = 0; i < kFailingWrites.size(); ++i) ::sigaction(kFailingWrites[i], &failing_[i], nullptr);
}

int StopSignals::requested() const noexcept { return first_signal; }

}  // namespace gsnake::run
