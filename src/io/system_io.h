// The two system calls of the thread engine, as a seam: tests put short, failing and slow transfers there.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "io/engine.h"

namespace gsnake::io {

// Called by many threads at once.
class SystemIo {
 public:
  // Bytes transferred, or a negative errno.
  virtual std::int64_t pread(int fd, std::byte* data, std::size_t size, std::uint64_t offset) noexcept = 0;
  virtual std::int64_t pwrite(int fd, const std::byte* data, std::size_t size, std::uint64_t offset) noexcept = 0;

 protected:
  ~SystemIo() = default;
};

// The kernel's own.
SystemIo& kernel_io() noexcept;

// `system` is borrowed and outlives the engine.
std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options, SystemIo& system);

}  // namespace gsnake::io
