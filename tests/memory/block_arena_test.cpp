#include "memory/block_arena.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "memory/room.h"

namespace gsnake::memory {
namespace {

TEST(Room, GivesTheLowestOffsetWithRoomAndJoinsWhatIsGivenBack) {
  Room room(100);
  const auto take = [&](std::uint64_t bytes) { return room.try_take(bytes).value_or(999); };
  EXPECT_EQ(take(10), 0U);
  EXPECT_EQ(take(20), 10U);
  EXPECT_EQ(take(30), 30U);
  room.give_back(0, 10);
  EXPECT_EQ(take(11), 60U) << "the first gap is too small";
  room.give_back(10, 20);
  EXPECT_EQ(take(30), 0U) << "two neighbours make one gap";
  EXPECT_EQ(take(30), 999U);
  EXPECT_EQ(take(29), 71U);
  EXPECT_EQ(room.extent(), 100U);
}

TEST(Room, OfNoBytesGivesNothing) { EXPECT_FALSE(Room(0).try_take(1)); }

// Beside a map of what is taken.
TEST(Room, BlocksNeverOverlapAndAllRoomComesBack) {
  constexpr std::uint64_t kBytes = 5000;
  std::mt19937 draw(1);
  Room room(kBytes);
  std::map<std::uint64_t, std::uint64_t> taken;
  std::uint64_t highest = 0;
  for (int i = 0; i < 50000; ++i) {
    if (!taken.empty() && draw() % 2 == 0) {
      const auto one = std::next(taken.begin(), static_cast<std::ptrdiff_t>(draw() % taken.size()));
      room.give_back(one->first, one->second);
      taken.erase(one);
      continue;
    }
    const std::uint64_t bytes = 1 + draw() % 400;
    std::uint64_t lowest = 0;  // where the first gap of so many bytes begins
    for (const auto& [offset, size] : taken) {
      if (offset - lowest >= bytes) break;
      lowest = offset + size;
    }
    const std::optional<std::uint64_t> offset = room.try_take(bytes);
    ASSERT_EQ(offset.has_value(), lowest + bytes <= kBytes);
    if (!offset) continue;
    ASSERT_EQ(*offset, lowest);
    taken[*offset] = bytes;
    highest = std::max(highest, *offset + bytes);
  }
  for (const auto& [offset, bytes] : taken) room.give_back(offset, bytes);
  EXPECT_EQ(room.blocks(), 0U);
  EXPECT_EQ(room.extent(), highest);
  EXPECT_EQ(room.try_take(kBytes), 0U);
}

TEST(BlockArena, BlocksAreAlignedAndTheirRoomIsUsedAgain) {
  const BlockArena::Owner arena = BlockArena::open(2 * room_for(100));
  Block* first = arena->try_take(100);
  Block* second = arena->try_take(100);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first->data()) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second->data()) % 64, 0U);
  EXPECT_EQ(&Block::of(second->data()), second);
  EXPECT_EQ(arena->try_take(1), nullptr);
  arena->give_back(*first);
  EXPECT_EQ(arena->try_take(100), first);
  arena->give_back(*first);
  arena->give_back(*second);
}

TEST(BlockArena, ABlockOutlivesWhoeverOpenedIt) {
  BlockArena::Owner arena = BlockArena::open(1 << 16);
  Block* block = arena->try_take(1000);
  arena.reset();
  std::memset(block->data(), 1, 1000);
  std::thread([block] { block->arena->drop(*block); }).join();
}

// Two threads drop what a third one takes, who goes while they still do.
TEST(BlockArena, OtherThreadsDropBlocksWhileThisOneTakesThem) {
  constexpr int kBlocks = 20000;
  std::array<std::atomic<Block*>, 2> handed{};
  BlockArena::Owner arena = BlockArena::open(8 * room_for(256));
  std::vector<std::thread> others;
  for (auto& slot : handed) {
    others.emplace_back([&slot] {
      for (int i = 0; i < kBlocks; ++i) {
        Block* block = nullptr;
        while ((block = slot.exchange(nullptr, std::memory_order_acquire)) == nullptr) std::this_thread::yield();
        for (std::uint64_t byte = 0; byte < block->bytes; ++byte) EXPECT_EQ(block->data()[byte], block->data()[0]);
        block->arena->drop(*block);
      }
    });
  }
  for (int i = 0; i < kBlocks; ++i) {
    for (auto& slot : handed) {
      Block* block = nullptr;
      while ((block = arena->try_take(1 + static_cast<std::uint64_t>(i) % 256)) == nullptr) std::this_thread::yield();
      std::memset(block->data(), i, block->bytes);
      Block* none = nullptr;
      while (!slot.compare_exchange_weak(none, block, std::memory_order_release)) {
        none = nullptr;
        std::this_thread::yield();
      }
    }
  }
  arena.reset();
  for (std::thread& other : others) other.join();
}

}  // namespace
}  // namespace gsnake::memory
