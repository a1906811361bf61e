// The fake device's memory, and what host memory is pinned. All of it under the runtime's lock.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>

namespace gsnake::fake_cuda {

enum class BlockKind : std::uint8_t { device, pinned, registered };

struct Block {
  std::size_t bytes = 0;
  BlockKind kind = BlockKind::device;
  bool freed = false;  // device memory alone: kept, so that a use after it is seen
};

// Two views of one file without a name: what is handed out may not be touched by the host, the other is what copies and kernels use.
// Addresses are not given out twice.
class Memory {
 public:
  explicit Memory(std::size_t device_bytes);

  [[nodiscard]] bool on_device(const void* place) const;
  [[nodiscard]] char* real(const void* place) const;
  // Poisoned: NaN in every floating type.
  cudaError_t allocate(void** place, std::size_t bytes);
  // After which `real` of it reads as zeros: its pages are given back.
  void give_back(Block& block, const void* place);
  void add(const void* place, std::size_t bytes, BlockKind kind) { blocks_[reinterpret_cast<std::uintptr_t>(place)] = {bytes, kind, false}; }
  void remove(const void* place) { blocks_.erase(reinterpret_cast<std::uintptr_t>(place)); }

  // The block that starts at `place`; null where none does.
  Block* at(const void* place);
  // The block that holds all of the range; null where none does.
  Block* holding(const void* place, std::size_t bytes);
  // Whether any block has a byte of the range.
  [[nodiscard]] bool overlaps(const void* place, std::size_t bytes) const;

  // One view for both, which the host may touch.
  void open();

  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::size_t live() const { return live_; }

 private:
  std::map<std::uintptr_t, Block> blocks_;
  int file_ = -1;
  char* handed_out_ = nullptr;
  char* real_ = nullptr;
  std::size_t total_;
  std::size_t next_ = 0;
  std::size_t live_ = 0;
};

}  // namespace gsnake::fake_cuda
