// What LibTorch allocates on the CPU while it computes a unit: counted, capped, and taken from an arena.
#pragma once

#include <cstdint>
#include <functional>

#include "greedysnake/error.h"
#include "memory/block_arena.h"
#include "memory/room.h"

namespace gsnake::backend {

// While one of these lives, LibTorch's CPU allocator, which is the whole process's, is ours. Outside a MeteredScope the one before goes on as if it still were; after the
// last of these, and of the blocks that were taken in a scope, it is again. Thread-safe.
class TorchAllocator {
 public:
  // Throws Error(usage) where the program has an allocator that gives way to none.
  TorchAllocator();
  ~TorchAllocator();
  TorchAllocator(const TorchAllocator&) = delete;
  TorchAllocator& operator=(const TorchAllocator&) = delete;
};

// A dry run's stand-in for the arena: where blocks would lie in one of so many bytes.
class RehearsedRoom {
 public:
  explicit RehearsedRoom(std::uint64_t bytes);

  // Throws CapExceeded where there is no room.
  void take(memory::Block& block);
  // Nothing where the block was another's.
  void give_back(const memory::Block& block) noexcept;
  // Bytes that an arena needs for what was taken.
  [[nodiscard]] std::uint64_t extent() const noexcept { return room_.extent(); }

 private:
  std::uint64_t bytes_;
  std::uint64_t number_;
  memory::Room room_;
};

struct TorchMemoryMeter {
  std::int64_t in_use_bytes = 0;
  std::int64_t kept_bytes = 0;                  // of what earlier scopes left, which is in use still
  std::int64_t peak_bytes = 0;
  std::int64_t cap_bytes = 0;                   // beyond it an allocation throws CapExceeded; 0: no cap
  const std::function<void()>* told = nullptr;  // of every allocation, before it; what it throws leaves the operation that asked for memory
  memory::BlockArena* arena = nullptr;          // where blocks lie while they fit; nullptr: all come from the ordinary allocator
  std::uint64_t outside_bytes = 0;              // of all blocks that did not fit there and came from the ordinary allocator
  RehearsedRoom* rehearsed = nullptr;           // told of each block; without an arena
};

class CapExceeded : public Error {
 public:
  CapExceeded(std::uint64_t needed_bytes, std::uint64_t cap_bytes);
};

// While it lives, what this thread allocates and frees through LibTorch goes by the meter. (On the CPU, backward runs on the thread that
// calls it.) An arena is in one scope at a time. Blocks may be freed after it and on other threads.
class MeteredScope {
 public:
  explicit MeteredScope(TorchMemoryMeter& meter);
  ~MeteredScope();
  MeteredScope(const MeteredScope&) = delete;
  MeteredScope& operator=(const MeteredScope&) = delete;

 private:
  TorchMemoryMeter* outer_;
};

}  // namespace gsnake::backend
