// Commits that are slow at one of their points, and a watch over the names that they make and take away.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "io/durable.h"
#include "runtime/commit_lane.h"

namespace gsnake::checkpoint::test {

// A place in what other threads than the one that made it do: the n-th call from arm() on. There they wait until they are let go, or for kMost.
class SlowPoint {
 public:
  static constexpr std::chrono::milliseconds kMost{30};

  void arm(int call) {
    const std::lock_guard lock(mutex_);
    reached_ = released_ = false;
    left_ = call;
  }
  void reach() {
    if (std::this_thread::get_id() == owner_) return;
    std::unique_lock lock(mutex_);
    if (left_ < 0 || left_-- > 0) return;
    reached_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, kMost, [&] { return released_; });
  }
  [[nodiscard]] bool reached() const {
    const std::lock_guard lock(mutex_);
    return reached_;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int left_ = -1;
  bool reached_ = false;
  bool released_ = false;
};

// The kernel's calls, each a point; counts the commits and snapshots whose names were taken away.
class SlowSync final : public io::SyncOps {
 public:
  explicit SlowSync(SlowPoint* point = nullptr) : point_(point) {}
  int open(const char* path, int flags, mode_t mode) noexcept override { return reach(), kernel_.open(path, flags, mode); }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return reach(), kernel_.write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return reach(), kernel_.ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return reach(), kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return reach(), kernel_.fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return kernel_.allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return reach(), kernel_.link(from, to); }
  int rename(const char* from, const char* to) noexcept override { return reach(), kernel_.rename(from, to); }
  int unlink(const char* path) noexcept override {
    reach();
    const int result = kernel_.unlink(path);
    const std::string name = path;
    if (result == 0 && (name.ends_with("/manifest.json") || name.ends_with("/manifest.previous.json"))) ++commits_removed;
    if (result == 0 && name.find("/snapshot-") != std::string::npos && name.ends_with(".json")) ++snapshots_replaced;
    return result;
  }

  std::atomic<int> commits_removed{0};
  std::atomic<int> snapshots_replaced{0};

 private:
  void reach() noexcept {
    if (point_ != nullptr) point_->reach();
  }
  io::SyncOps& kernel_ = io::kernel_sync();
  SlowPoint* const point_;
};

// Points before and after what the commit lane asks of a committer.
class SlowCommitter final : public runtime::Committer {
 public:
  SlowCommitter(runtime::Committer& inner, SlowPoint& point) : inner_(inner), point_(point) {}
  bool may_commit(std::int64_t step) override {
    point_.reach();
    const bool may = inner_.may_commit(step);
    point_.reach();
    return may;
  }
  void commit(std::int64_t step, const runtime::StepCounters& counters, int slot) override {
    inner_.commit(step, counters, slot);
    point_.reach();
  }

 private:
  runtime::Committer& inner_;
  SlowPoint& point_;
};

}  // namespace gsnake::checkpoint::test
