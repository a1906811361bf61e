#include "run/heartbeat.h"

#include <algorithm>
#include <utility>

#include "core/threads.h"

namespace gsnake::run {

Heartbeat::Heartbeat(Report report, Timing timing) : report_(std::move(report)), timing_(timing), thread_([this] { watch(); }) {}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_asked_.notify_one();
  thread_.join();
}

void Heartbeat::begin() {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  began_ = now;
  due_ = now + timing_.first;
}

void Heartbeat::end() {
  const std::lock_guard lock(mutex_);
  began_.reset();
}

void Heartbeat::watch() {
  core::set_thread_name("gs-heartbeat");
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const Clock::time_point now = Clock::now();
    if (began_ && now >= due_) {
      report_(std::chrono::duration<double>(now - *began_).count());
      due_ = now + timing_.every;
    }
    // Another wait that begins while this sleeps is due after it wakes.
    const Clock::time_point latest = now + timing_.first;
    stop_asked_.wait_until(lock, began_ ? std::min(due_, latest) : latest, [this] { return stop_; });
  }
}

}  // namespace gsnake::run
