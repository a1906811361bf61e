#include "memory/block_arena.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

#include "core/bytes.h"

namespace gsnake::memory {

namespace {

struct Arenas {
  std::mutex mutex;
  std::vector<const BlockArena*> all;
};

Arenas& arenas() {
  static Arenas known;
  return known;
}

}  // namespace

std::uint64_t room_for(std::uint64_t bytes) noexcept { return core::round_up(bytes, sizeof(Block)) + sizeof(Block); }

BlockArena::BlockArena(std::uint64_t bytes) : memory_(bytes, {.resident = true, .tier = "device"}), room_(bytes) {
  const std::lock_guard lock(arenas().mutex);
  arenas().all.push_back(this);
}

BlockArena::~BlockArena() {
  const std::lock_guard lock(arenas().mutex);
  std::erase(arenas().all, this);
}

bool BlockArena::holds(const void* place) noexcept {
  const std::lock_guard lock(arenas().mutex);
  const auto* at = static_cast<const std::byte*>(place);
  return std::any_of(arenas().all.begin(), arenas().all.end(),
                     [at](const BlockArena* arena) { return at >= arena->memory_.data() && at < arena->memory_.data() + arena->memory_.bytes(); });
}

bool BlockArena::any() noexcept {
  const std::lock_guard lock(arenas().mutex);
  return !arenas().all.empty();
}

Block* BlockArena::try_take(std::uint64_t bytes) {
  if (dropped_.load(std::memory_order_relaxed) != nullptr) collect_dropped();
  const std::optional<std::uint64_t> offset = room_.try_take(room_for(bytes));
  if (!offset) return nullptr;
  holders_.fetch_add(1, std::memory_order_relaxed);
  return new (memory_.data() + *offset) Block{.bytes = bytes, .arena = this, .offset = *offset};
}

void BlockArena::give_back(Block& block) noexcept {
  room_.give_back(block.offset, room_for(block.bytes));
  let_go();
}

void BlockArena::drop(Block& block) noexcept {
  block.next_dropped = dropped_.load(std::memory_order_relaxed);
  while (!dropped_.compare_exchange_weak(block.next_dropped, &block, std::memory_order_release, std::memory_order_relaxed)) {
  }
  let_go();
}

void BlockArena::collect_dropped() noexcept {
  Block* block = dropped_.exchange(nullptr, std::memory_order_acquire);
  while (block != nullptr) {
    Block* next = block->next_dropped;
    room_.give_back(block->offset, room_for(block->bytes));
    block = next;
  }
}

void BlockArena::let_go() noexcept {
  if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace gsnake::memory
