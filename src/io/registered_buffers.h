// Memory that an io_uring instance knows in advance, so that it is pinned once and not at each transfer.
#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <system_error>
#include <vector>

namespace gsnake::io {

// Not thread-safe. `ring` is borrowed and outlives it; nothing may be in flight while add(), remove() and clear() run.
class RegisteredBuffers {
 public:
  explicit RegisteredBuffers(io_uring& ring) noexcept : ring_(ring) {}

  // What the kernel said where it refused (RLIMIT_MEMLOCK: ENOMEM): what was registered before stays so.
  std::error_code add(std::span<std::byte> memory);
  // What add() was given; unknown memory is fine. The others stay.
  void remove(std::span<std::byte> memory);
  // The index of the buffer that holds all of the range, or -1.
  [[nodiscard]] int find(const std::byte* data, std::size_t size) const noexcept;
  void clear() noexcept;

 private:
  std::error_code replace(std::vector<iovec> buffers) noexcept;
  void restore(std::vector<iovec> buffers) noexcept;

  io_uring& ring_;
  std::vector<iovec> buffers_;  // as registered, by address
};

}  // namespace gsnake::io
