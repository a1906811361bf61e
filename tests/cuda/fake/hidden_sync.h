// A lock and a gate that ThreadSanitizer does not see, and the order that it is told of instead. The fake runtime's own bookkeeping must not
// order the streams' work: else a wait that is missing would be taken for right.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" void __tsan_acquire(void*) __attribute__((weak));
extern "C" void __tsan_release(void*) __attribute__((weak));

namespace gsnake::fake_cuda {

// What CUDA promises happened before, for the sanitizer: everything before the release of `what` is before what follows its acquisition.
inline void happened_before(void* what) {
  if (__tsan_release != nullptr) __tsan_release(what);
}
inline void happens_after(void* what) {
  if (__tsan_acquire != nullptr) __tsan_acquire(what);
}

inline void futex(int* word, int operation, int value) { syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0); }

class HiddenLock {
 public:
  void lock() {
    while (__atomic_exchange_n(&taken_, 1, __ATOMIC_ACQUIRE) != 0) futex(&taken_, FUTEX_WAIT, 1);
  }
  void unlock() {
    __atomic_store_n(&taken_, 0, __ATOMIC_RELEASE);
    futex(&taken_, FUTEX_WAKE, 1);
  }

 private:
  int taken_ = 0;
};

// Opens once.
class HiddenGate {
 public:
  void open() {
    __atomic_store_n(&open_, 1, __ATOMIC_RELEASE);
    futex(&open_, FUTEX_WAKE, 1 << 30);
  }
  [[nodiscard]] bool is_open() const { return __atomic_load_n(&open_, __ATOMIC_ACQUIRE) != 0; }
  void pass() {
    while (!is_open()) futex(&open_, FUTEX_WAIT, 0);
  }

 private:
  int open_ = 0;
};

}  // namespace gsnake::fake_cuda
