// Host memory that CUDA copies from without staging it: mapped by us, then registered piece by piece.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

#include "device/device.h"

namespace gsnake::cuda {

// Thread-safe. Outlives the memory that it gives out.
class PinnedMemory {
 public:
  // chunk_bytes: of a registration, a multiple of the page; where one is refused the chunk stays ordinary memory, which the driver stages
  // copies of, and the lane that copies waits for them. node: as device::map_pages() has it.
  PinnedMemory(std::string device, std::size_t chunk_bytes, int node);

  // As Device::host_alloc().
  device::HostMemory allocate(std::size_t bytes);

  // How many bytes from `place` on lie in one registration, or in none: what one copy may hold. At most `bytes`, at least 1.
  [[nodiscard]] std::size_t run_at(const std::byte* place, std::size_t bytes) const;

 private:
  struct Chunk {
    std::size_t bytes = 0;
    bool registered = false;
  };
  void release(std::byte* begin, std::size_t bytes) noexcept;
  // Of each end of a chunk of the block.
  template <typename Body>
  void for_chunks(std::byte* begin, std::size_t bytes, Body&& body);

  const std::string device_;
  const std::size_t chunk_bytes_;
  const int node_;
  mutable std::mutex mutex_;
  std::map<const std::byte*, Chunk> chunks_;  // by where they begin
  bool told_ = false;                         // that registering was refused
};

}  // namespace gsnake::cuda
