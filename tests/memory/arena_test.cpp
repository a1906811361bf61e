#include "memory/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "memory/anonymous.h"

namespace gsnake::memory {
namespace {

std::uintptr_t address_of(const std::byte* data) { return reinterpret_cast<std::uintptr_t>(data); }

TEST(Arena, RegionsAreAlignedAndDoNotOverlap) {
  Arena arena(1 << 20);
  const std::size_t first = arena.carve(100);
  const std::size_t second = arena.carve(5000);
  const std::size_t third = arena.carve(64, 64);
  EXPECT_EQ(first % 4096, 0U);
  EXPECT_EQ(second % 4096, 0U);
  EXPECT_EQ(third % 64, 0U);
  EXPECT_GE(second, first + 100);
  EXPECT_GE(third, second + 5000);
  EXPECT_LE(third + 64, arena.used_bytes());
}

TEST(Arena, GivesEveryLastByte) {
  Arena arena(std::size_t{3} * 4096);
  arena.carve(4096);
  arena.carve(8192);
  EXPECT_EQ(arena.used_bytes(), arena.bytes());
  EXPECT_EQ(arena.carve(0, 1), arena.bytes());
}

TEST(ArenaDeathTest, CarvingTooMuchAbortsWithTheSizes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Arena arena(8192);
  arena.carve(1);
  EXPECT_DEATH(arena.carve(4097), "arena of 8192 bytes, 1 used, can't give 4097 bytes aligned to 4096");
}

TEST(ArenaDeathTest, AnAlignmentThatTheBlockMayNotHaveAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Arena arena(1 << 20);
  EXPECT_DEATH(arena.carve(1, 8192), "alignment 8192 is not a power of two up to 4096");
}

TEST(AnonymousMemory, IsZeroFilledAndWritable) {
  AnonymousMemory block((5U << 20) + 3);
  EXPECT_EQ(block.bytes(), (5U << 20) + 3);
  EXPECT_TRUE(std::all_of(block.data(), block.data() + block.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  std::fill(block.data(), block.data() + block.bytes(), std::byte{0x5a});
  EXPECT_EQ(block.data()[block.bytes() - 1], std::byte{0x5a});
}

TEST(AnonymousMemory, LargeBlocksStartOnAHugePage) {
  for (const std::size_t bytes : {std::size_t{2} << 20, (std::size_t{2} << 20) + 1, std::size_t{7} << 20}) {
    AnonymousMemory block(bytes);
    EXPECT_EQ(address_of(block.data()) % (2U << 20), 0U) << bytes;
  }
}

TEST(AnonymousMemory, MovesItsOwnership) {
  AnonymousMemory first(4096);
  std::byte* data = first.data();
  AnonymousMemory second(std::move(first));
  EXPECT_EQ(first.data(), nullptr);  // NOLINT(bugprone-use-after-move): what a moved-from owner holds is promised
  EXPECT_EQ(second.data(), data);
  first = std::move(second);
  EXPECT_EQ(first.data(), data);
  EXPECT_EQ(AnonymousMemory(0).data(), nullptr);
}

}  // namespace
}  // namespace gsnake::memory
