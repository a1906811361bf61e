// The kernel's queues of an io_uring instance.
#pragma once

#include <liburing.h>

#include <cassert>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <system_error>
#include <vector>

#include "io/engine.h"
#include "io/registered_buffers.h"
#include "io/ring_faults.h"

namespace gsnake::io {

// Owner of the ring: made, used and destroyed on one thread. Neither movable nor thread-safe. What is queued carries a mark (any address)
// that its completion gives back.
class Ring {
 public:
  // Room for `entries` submissions at once and twice as many completions: the caller never queues more. Throws Error(storage) where
  // io_uring, or the polling that is asked for, is refused. `faults` may be null.
  Ring(unsigned entries, const UringOptions& options, RingFaults* faults);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  // Nothing may be in flight meanwhile: old kernels wait for all of it.
  void register_files(const std::vector<int>& descriptors);
  [[nodiscard]] RegisteredBuffers& buffers() noexcept { return buffers_; }

  struct Transfer {
    Direction op = Direction::read;
    int file = -1;        // its place among the registered files, if it is one
    int descriptor = -1;  // else
    std::uint64_t offset = 0;
    std::byte* data = nullptr;
    unsigned bytes = 0;
  };
  void queue(const Transfer& transfer, const void* mark) noexcept;
  void queue_poll(int descriptor, const void* mark) noexcept;
  void queue_timer(__kernel_timespec& after, const void* mark) noexcept;

  // Hands over what is queued and waits for one completion. An errno, negative, or what io_uring_submit_and_wait() says.
  int submit_and_wait() noexcept { return io_uring_submit_and_wait(&ring_, 1); }
  // Calls with the mark and the result of each completion there is; the place in the queue is free by then.
  template <typename Function>
  void reap(const Function& function) {
    io_uring_cqe* event = nullptr;
    while (io_uring_peek_cqe(&ring_, &event) == 0) {
      void* const mark = io_uring_cqe_get_data(event);
      const int result = event->res;
      io_uring_cqe_seen(&ring_, event);
      function(mark, result);
    }
  }
  // Takes back what the kernel has not accepted, which it reads during submit_and_wait() only, and calls with the mark of each. (A kernel
  // thread that polls reads at any time, but is dead when submitting fails.)
  void take_back(const std::function<void(void* mark)>& function);

 private:
  io_uring_sqe* next_entry() noexcept;

  io_uring ring_{};
  RegisteredBuffers buffers_{ring_};
  std::size_t registered_files_ = 0;
};

}  // namespace gsnake::io
