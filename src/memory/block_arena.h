// Blocks that come and go within one mapping that stays, so that taking one costs no page fault: LibTorch's temporaries.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory/anonymous.h"
#include "memory/room.h"

namespace gsnake::memory {

class BlockArena;

// Stands before the bytes that the caller gets, in a cache line of its own.
struct alignas(64) Block {
  std::uint64_t bytes = 0;      // the caller's
  BlockArena* arena = nullptr;  // nullptr: from the ordinary allocator
  std::uint64_t offset = 0;     // in the arena's room, or in that of a dry run
  std::uint64_t rehearsal = 0;  // of which dry run; 0: of none
  Block* next_dropped = nullptr;

  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] static Block& of(void* data) noexcept { return static_cast<Block*>(data)[-1]; }
};

// What a block for `bytes` takes up in a room, its header included.
[[nodiscard]] std::uint64_t room_for(std::uint64_t bytes) noexcept;

// One resident mapping. One thread at a time takes blocks and gives them back, without locks; others may drop them at any moment. A block
// may outlive whoever opened the arena: the memory goes with the last of them.
class BlockArena {
 public:
  struct Closer {
    void operator()(BlockArena* arena) const noexcept { arena->let_go(); }
  };
  using Owner = std::unique_ptr<BlockArena, Closer>;

  // Throws Error(budget) where the kernel refuses so many bytes.
  [[nodiscard]] static Owner open(std::uint64_t bytes) { return Owner(new BlockArena(bytes)); }

  // nullptr where there is no room.
  [[nodiscard]] Block* try_take(std::uint64_t bytes);
  // By the thread that takes blocks.
  void give_back(Block& block) noexcept;
  // By any thread: the room is free again when the other one next looks for some.
  void drop(Block& block) noexcept;

  [[nodiscard]] std::uint64_t bytes() const noexcept { return memory_.bytes(); }

  // Whether an arena's memory is there. Thread-safe.
  [[nodiscard]] static bool holds(const void* place) noexcept;
  // There is an arena, or a block that has outlived its own. Thread-safe.
  [[nodiscard]] static bool any() noexcept;

 private:
  explicit BlockArena(std::uint64_t bytes);
  ~BlockArena();

  void collect_dropped() noexcept;
  void let_go() noexcept;

  AnonymousMemory memory_;
  Room room_;
  std::atomic<Block*> dropped_{nullptr};
  std::atomic<std::uint64_t> holders_{1};  // blocks, and the owner
};

}  // namespace gsnake::memory
