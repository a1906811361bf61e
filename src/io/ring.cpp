#include "io/ring.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdlib>

#include "core/errors.h"
#include "io/locked_memory.h"

namespace gsnake::io {
namespace {

constexpr const char* kRemedy =
    "allow io_uring for this process (kernel.io_uring_disabled, seccomp profile) or set ssd.engine = \"threads\"";
constexpr unsigned kPollerIdleMs = 50;  // before a polling kernel thread sleeps

// From what is wanted down to what every kernel knows. SUBMIT_ALL (5.18): a bad entry does not hold back those after it.
std::array<unsigned, 4> flags_of(const UringOptions& options) {
  const unsigned polling =
      (options.submission_polling ? IORING_SETUP_SQPOLL : 0U) | (options.completion_polling ? IORING_SETUP_IOPOLL : 0U);
  const unsigned base = polling | IORING_SETUP_CLAMP;
  const unsigned plain = base | IORING_SETUP_SUBMIT_ALL;
  // The kernel refuses them beside SQPOLL: there is no thread of ours to spare.
  const TaskRun task_run = options.submission_polling ? TaskRun::interrupting : options.task_run;
  const unsigned cooperative = task_run == TaskRun::interrupting ? plain : plain | IORING_SETUP_COOP_TASKRUN;
  const unsigned deferred = task_run == TaskRun::deferred ? plain | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : cooperative;
  return {deferred, cooperative, base, polling};
}

[[noreturn]] void throw_refused(int error) {
  const std::string remedy = error == ENOMEM ? memlock_remedy() + ", or set ssd.engine = \"threads\"" : kRemedy;
  core::throw_storage("set up", "io_uring", core::errno_code(error), remedy);
}

}  // namespace

Ring::Ring(unsigned entries, const UringOptions& options, RingFaults* faults) {
  if (const int error = faults == nullptr ? 0 : faults->set_up(entries); error != 0) throw_refused(error);
  int result = -EINVAL;
  for (const unsigned flags : flags_of(options)) {
    io_uring_params parameters{};
    parameters.flags = flags;
    parameters.sq_thread_idle = kPollerIdleMs;
    result = io_uring_queue_init_params(entries, &ring_, &parameters);
    if (result == 0) spdlog::debug("io_uring: set up with flags {:#x}", flags);
    if (result != -EINVAL) break;  // older kernels refuse unknown flags
  }
  if (result < 0) throw_refused(-result);
}

// Closing a ring is asynchronous; without giving them back, files and pinned memory would live on for a moment after it.
Ring::~Ring() {
  buffers_.clear();
  if (registered_files_ > 0) io_uring_unregister_files(&ring_);
  io_uring_queue_exit(&ring_);
}

void Ring::register_files(const std::vector<int>& descriptors) {
  if (registered_files_ > 0) io_uring_unregister_files(&ring_);
  const int result = io_uring_register_files(&ring_, descriptors.data(), static_cast<unsigned>(descriptors.size()));
  registered_files_ = result == 0 ? descriptors.size() : 0;
  if (result < 0) spdlog::debug("io_uring: registering {} files: {}", descriptors.size(), core::errno_code(-result).message());
}

io_uring_sqe* Ring::next_entry() noexcept {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry != nullptr) return entry;
  spdlog::critical("io_uring: no free entry, though there is one for everything that can be queued at once: a bug of greedysnake");
  std::abort();
}

void Ring::queue(const Transfer& transfer, const void* mark) noexcept {
  const bool fixed_file = transfer.file >= 0 && static_cast<std::size_t>(transfer.file) < registered_files_;
  const int file = fixed_file ? transfer.file : transfer.descriptor;
  const int buffer = buffers_.find(transfer.data, transfer.bytes);
  io_uring_sqe* entry = next_entry();
  if (transfer.op == Direction::read && buffer >= 0) {
    io_uring_prep_read_fixed(entry, file, transfer.data, transfer.bytes, transfer.offset, buffer);
  } else if (transfer.op == Direction::read) {
    io_uring_prep_read(entry, file, transfer.data, transfer.bytes, transfer.offset);
  } else if (buffer >= 0) {
    io_uring_prep_write_fixed(entry, file, transfer.data, transfer.bytes, transfer.offset, buffer);
  } else {
    io_uring_prep_write(entry, file, transfer.data, transfer.bytes, transfer.offset);
  }
  if (fixed_file) entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data(entry, const_cast<void*>(mark));
}

void Ring::queue_poll(int descriptor, const void* mark) noexcept {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_poll_add(entry, descriptor, POLLIN);
  io_uring_sqe_set_data(entry, const_cast<void*>(mark));
}

void Ring::queue_timer(__kernel_timespec& after, const void* mark) noexcept {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_timeout(entry, &after, 0, 0);
  io_uring_sqe_set_data(entry, const_cast<void*>(mark));
}

void Ring::take_back(const std::function<void(void* mark)>& function) {
  io_uring_sq& queue = ring_.sq;
  const unsigned accepted = *queue.khead;
  const unsigned end = queue.sqe_tail;
  queue.sqe_tail = queue.sqe_head = accepted;
  std::atomic_ref(*queue.ktail).store(accepted, std::memory_order_release);
  std::vector<void*> marks;  // first: what is called may queue again
  for (unsigned i = accepted; i != end; ++i) marks.push_back(reinterpret_cast<void*>(queue.sqes[i & *queue.kring_mask].user_data));
  for (void* const mark : marks) function(mark);
}

}  // namespace gsnake::io
