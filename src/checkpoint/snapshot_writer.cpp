#include "checkpoint/snapshot_writer.h"

#include <utility>

#include "core/log.h"
#include "core/threads.h"

namespace gsnake::checkpoint {

SnapshotWriter::~SnapshotWriter() {
  if (thread_.joinable()) thread_.join();
  if (error_) spdlog::warn("the last snapshot was not completed");
}

void SnapshotWriter::start(int place) {
  const std::lock_guard lock(mutex_);
  join();
  thread_ = std::thread([this, place] {
    core::set_thread_name("gs-snapshot");
    core::block_signals();
    try {
      store_.snapshot(place);
    } catch (...) {
      error_ = std::current_exception();
    }
  });
}

void SnapshotWriter::wait() {
  const std::lock_guard lock(mutex_);
  join();
}

void SnapshotWriter::join() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace gsnake::checkpoint
