// Memory that an io_uring instance knows in advance, so that it is pinned once and not at each transfer.
#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

namespace gsnake::io {

// Not thread-safe. `ring` is borrowed and outlives it; nothing may be in flight while add() and clear() run.
class RegisteredBuffers {
 public:
  explicit RegisteredBuffers(io_uring& ring) noexcept : ring_(ring) {}

  // False when the kernel refuses (RLIMIT_MEMLOCK): what was registered before stays so.
  bool add(std::span<std::byte> memory);
  // The index of the buffer that holds all of the range, or -1.
  [[nodiscard]] int find(const std::byte* data, std::size_t size) const noexcept;
  void clear() noexcept;

 private:
  bool replace(std::vector<iovec> buffers) noexcept;

  io_uring& ring_;
  std::vector<iovec> buffers_;  // as registered, by address
};

}  // namespace gsnake::io
