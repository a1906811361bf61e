// Copies of commits, made beside the steps that follow.
#pragma once

#include <exception>
#include <mutex>
#include <thread>

#include "store/store.h"

namespace gsnake::checkpoint {

// Any thread may call any of it.
class SnapshotWriter {
 public:
  explicit SnapshotWriter(store::Store& store) : store_(store) {}  // borrowed
  // Waits for the one that is under way.
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  // Copies the last commit into `place` of the store, on a thread of its own, which wait() comes before. Throws what stopped the one before.
  void start(int place);
  // Until the one that is under way, if there is one, is complete. Throws what stopped it, to the first who waits.
  void wait();

 private:
  void join();  // under mutex_

  store::Store& store_;
  std::mutex mutex_;
  std::thread thread_;
  std::exception_ptr error_;  // thread_'s until it is joined
};

}  // namespace gsnake::checkpoint
