#include "memory/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "memory/anonymous.h"

namespace gsnake::memory {
namespace {

std::uintptr_t address_of(const std::byte* data) { return reinterpret_cast<std::uintptr_t>(data); }

TEST(Arena, RegionsAreAlignedAndDoNotOverlap) {
  AnonymousMemory block(1 << 20);
  Arena arena(block.data(), block.bytes());
  std::byte* first = arena.carve(100);
  std::byte* second = arena.carve(5000);
  std::byte* third = arena.carve(64, 64);
  EXPECT_EQ(address_of(first) % 4096, 0U);
  EXPECT_EQ(address_of(second) % 4096, 0U);
  EXPECT_EQ(address_of(third) % 64, 0U);
  EXPECT_GE(second, first + 100);
  EXPECT_GE(third, second + 5000);
  EXPECT_LE(third + 64, block.data() + arena.used_bytes());
}

TEST(Arena, AlignsTheAddressWhereTheBlockItselfIsNotAligned) {
  AnonymousMemory block(1 << 16);
  Arena arena(block.data() + 24, block.bytes() - 24);
  EXPECT_EQ(address_of(arena.carve(10)) % 4096, 0U);
}

TEST(Arena, GivesEveryLastByte) {
  AnonymousMemory block(3 * 4096);
  Arena arena(block.data(), block.bytes());
  arena.carve(4096);
  arena.carve(8192);
  EXPECT_EQ(arena.used_bytes(), arena.bytes());
  EXPECT_NE(arena.carve(0, 1), nullptr);
}

TEST(ArenaDeathTest, CarvingTooMuchAbortsWithTheSizes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  AnonymousMemory block(8192);
  Arena arena(block.data(), block.bytes());
  arena.carve(1);
  EXPECT_DEATH(arena.carve(4097), "arena of 8192 bytes, 1 used, can't give 4097 bytes aligned to 4096");
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
