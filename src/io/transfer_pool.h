// A pool of threads that work requests off with blocking calls: what the engines without a queue of the kernel's share.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "io/engine.h"
#include "io/request_table.h"

namespace gsnake::io {

// The blocking calls. Called by many threads at once.
class Mover {
 public:
  // On each thread of the pool, before its first call of move().
  virtual void enter_thread() noexcept {}
  // One call for what is left of part.transfer, of which a part may be moved.
  virtual Moved move(const Part& part) noexcept = 0;

 protected:
  ~Mover() = default;
};

// Thread-safe. As IoEngine says of short transfers, retries and ends. The destructor waits for what is in flight.
class TransferPool {
 public:
  // `mover` is borrowed and outlives the pool. Throws Error(usage) for a depth or a number of threads of 0.
  TransferPool(const EngineOptions& options, Mover& mover);
  TransferPool(const TransferPool&) = delete;
  TransferPool& operator=(const TransferPool&) = delete;
  ~TransferPool() { stop(); }

  int add_file(const File& file);
  [[nodiscard]] bool try_submit(std::span<const Request> requests);
  [[nodiscard]] std::size_t in_flight() const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return table_.depth(); }

 private:
  void run(unsigned index);
  std::error_code drive(Part& part) noexcept;
  void stop() noexcept;

  Mover& mover_;
  mutable std::mutex mutex_;
  std::condition_variable work_added_;
  RequestTable table_;     // guarded by mutex_; a part that was issued belongs to its thread
  bool stopping_ = false;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace gsnake::io
