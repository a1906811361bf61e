// The same faults for io_uring, whose transfers do not pass through the C library but through liburing's submission. A request that a rule
// meets is carried out here, under its action, and goes to the kernel as a request to do nothing; its completion, which is there when the
// submission returns, then gets the result. All other requests go to the kernel as they are.
#include <dlfcn.h>
#include <liburing.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <vector>

#include "rules.h"

namespace {

std::mutex mutex;
std::vector<int> registered_files;                  // of the ring made last
std::map<const io_uring*, std::map<__u64, int>> results;  // of doctored requests, by their user data

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int descriptor_of(const io_uring_sqe& entry) {
  return (entry.flags & IOSQE_FIXED_FILE) != 0 ? registered_files.at(static_cast<std::size_t>(entry.fd)) : entry.fd;
}

void doctor(const io_uring* ring, io_uring_sqe& entry) {
  const bool reads = entry.opcode == IORING_OP_READ || entry.opcode == IORING_OP_READ_FIXED;
  const bool writes = entry.opcode == IORING_OP_WRITE || entry.opcode == IORING_OP_WRITE_FIXED;
  if (!reads && !writes) return;
  const int fd = descriptor_of(entry);
  const std::string_view action = fault(reads ? "pread" : "pwrite", path_of(fd));
  if (action.empty()) return;
  auto* data = reinterpret_cast<void*>(entry.addr);
  const auto offset = static_cast<off_t>(entry.off);
  const ssize_t result = reads ? read_under(action, fd, data, entry.len, offset) : write_under(action, fd, data, entry.len, offset);
  results[ring][entry.user_data] = result < 0 ? -errno : static_cast<int>(result);
  const __u64 user_data = entry.user_data;
  entry = {};
  entry.opcode = IORING_OP_NOP;
  entry.fd = -1;
  entry.user_data = user_data;
}

void doctor_queue(io_uring* ring) {
  const std::lock_guard guard(mutex);
  const io_uring_sq& queue = ring->sq;
  for (unsigned i = queue.sqe_head; i != queue.sqe_tail; ++i) doctor(ring, queue.sqes[i & *queue.kring_mask]);
}

void doctor_completions(io_uring* ring) {
  const std::lock_guard guard(mutex);
  std::map<__u64, int>& own = results[ring];
  const io_uring_cq& queue = ring->cq;
  const unsigned tail = std::atomic_ref(*queue.ktail).load(std::memory_order_acquire);
  for (unsigned i = *queue.khead; i != tail && !own.empty(); ++i) {
    io_uring_cqe& event = queue.cqes[i & *queue.kring_mask];
    const auto found = own.find(event.user_data);
    if (found == own.end()) continue;
    event.res = found->second;
    own.erase(found);
  }
}

}  // namespace

extern "C" {

int io_uring_register_files(io_uring* ring, const int* files, unsigned count) {
  static auto* real = next<int(io_uring*, const int*, unsigned)>("io_uring_register_files");
  {
    const std::lock_guard guard(mutex);
    registered_files.assign(files, files + count);
  }
  return real(ring, files, count);
}

int io_uring_submit(io_uring* ring) {
  static auto* real = next<int(io_uring*)>("io_uring_submit");
  doctor_queue(ring);
  const int result = real(ring);
  doctor_completions(ring);
  return result;
}

int io_uring_submit_and_wait(io_uring* ring, unsigned count) {
  static auto* real = next<int(io_uring*, unsigned)>("io_uring_submit_and_wait");
  doctor_queue(ring);
  const int result = real(ring, count);
  doctor_completions(ring);
  return result;
}

int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** event, unsigned count, __kernel_timespec* timeout, sigset_t* mask) {
  static auto* real = next<int(io_uring*, io_uring_cqe**, unsigned, __kernel_timespec*, sigset_t*)>("io_uring_submit_and_wait_timeout");
  doctor_queue(ring);
  const int result = real(ring, event, count, timeout, mask);
  doctor_completions(ring);
  return result;
}

}  // extern "C"
