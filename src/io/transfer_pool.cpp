#include "io/transfer_pool.h"

#include <fmt/format.h>

#include <chrono>

#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::io {
namespace {

// What is in flight is threads times this: enough that the drive has work while threads wait for a core. Measured in docs/io.md.
constexpr std::size_t kDefaultSplitBytes = 4ULL << 20;
constexpr std::chrono::milliseconds kRetryPause{1};

const EngineOptions& checked(const EngineOptions& options) {
  if (options.depth == 0 || options.threads == 0)
    throw Error(ErrorKind::usage, "an I/O engine needs a depth and a number of threads of at least 1");
  return options;
}

}  // namespace

TransferPool::TransferPool(const EngineOptions& options, Mover& mover)
    : mover_(mover), table_(checked(options).depth, options.threads, options.split_bytes == 0 ? kDefaultSplitBytes : options.split_bytes) {
  threads_.reserve(options.threads);
  try {
    for (unsigned i = 0; i < options.threads; ++i) threads_.emplace_back([this, i] { run(i); });
  } catch (...) {
    stop();
    throw;
  }
}

int TransferPool::add_file(const File& file) {
  const std::lock_guard lock(mutex_);
  return table_.add_file(file);
}

bool TransferPool::try_submit(std::span<const Request> requests) {
  const std::lock_guard lock(mutex_);
  if (!table_.try_add(requests)) return false;
  work_added_.notify_all();
  return true;
}

std::size_t TransferPool::in_flight() const noexcept {
  const std::lock_guard lock(mutex_);
  return table_.in_flight();
}

void TransferPool::run(unsigned index) {
  core::set_thread_name(fmt::format("gsnake-io-{}", index));
  core::block_signals();
  mover_.enter_thread();
  std::unique_lock lock(mutex_);
  for (;;) {
    work_added_.wait(lock, [this] { return stopping_ || table_.has_next_part(); });
    Part* part = table_.next_part();
    if (part == nullptr) return;
    lock.unlock();
    const std::error_code error = drive(*part);
    lock.lock();
    const Ended ended = table_.finish(*part, error);
    lock.unlock();
    ended.tell();
    lock.lock();
  }
}

std::error_code TransferPool::drive(Part& part) noexcept {
  for (;;) {
    const Moved moved = mover_.move(part);
    const NextMove verdict = part.transfer.on_result(moved);
    if (verdict == NextMove::done || verdict == NextMove::fail) return part.transfer.error();
    if (verdict == NextMove::retry && is_busy(moved.error)) std::this_thread::sleep_for(kRetryPause);
  }
}

// A thread leaves once nothing waits to be issued; parts in the hands of others are theirs to finish.
void TransferPool::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_added_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace gsnake::io
