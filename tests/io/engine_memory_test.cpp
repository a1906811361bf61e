// The part of the conformance suite that is about memory and files that an engine is told of.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <span>

#include "engine_conformance.h"
#include "io/background_transfers.h"

namespace gsnake::io {
namespace {

using testing::BackgroundTransfers;

TEST_P(IoEngineConformance, RegisteredAndOtherMemoryWorkAlike) {
  AlignedBuffer first(32 * kBlock);
  AlignedBuffer second(32 * kBlock);
  AlignedBuffer other(32 * kBlock);
  const bool registered = engine_->register_buffer(first.span()).ok;
  EXPECT_EQ(engine_->register_buffer(second.span()).ok, registered);
  EXPECT_FALSE(engine_->register_buffer({}).ok);
  fill(first, 1);
  EXPECT_FALSE(run(Direction::write, 0, first));
  EXPECT_FALSE(run(Direction::read, 0, second));
  EXPECT_FALSE(run(Direction::read, 0, other));
  EXPECT_TRUE(same(first, second, first.size()));
  EXPECT_TRUE(same(first, other, first.size()));
}

// What is mapped where registered memory was is other memory, though it has the same address.
TEST_P(IoEngineConformance, MemoryIsForgottenOnceItIsWithdrawnAlsoDuringTransfers) {
  constexpr std::size_t kBytes = 32 * kBlock;
  AlignedBuffer written(kBytes);
  AlignedBuffer kept(kBytes);
  fill(written, 1);
  ASSERT_FALSE(run(Direction::write, 0, written));
  const auto map_at = [](void* place) {
    return ::mmap(place, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (place == nullptr ? 0 : MAP_FIXED), -1, 0);
  };
  void* const place = map_at(nullptr);
  ASSERT_NE(place, MAP_FAILED);
  const std::span memory(static_cast<std::byte*>(place), kBytes);
  {
    const BackgroundTransfers traffic(*engine_, file_, kFileBytes / 2);
    engine_->register_buffer(memory);
    engine_->register_buffer(kept.span());
    traffic.wait_for_rounds(1);
    engine_->withdraw_buffer(memory);
    engine_->withdraw_buffer(memory);  // unknown by now
    ASSERT_EQ(map_at(place), place);
    transfer(*engine_, file_, {.op = Direction::read, .file = 0, .offset = 0, .data = memory.data(), .size = kBytes});
    EXPECT_EQ(std::memcmp(memory.data(), written.data(), kBytes), 0);
    EXPECT_FALSE(run(Direction::read, 0, kept));
    EXPECT_TRUE(same(kept, written, kBytes));
  }
  ::munmap(place, kBytes);
}

TEST_P(IoEngineConformance, MemoryAndFilesMayBeAddedAfterAndDuringTransfers) {
  AlignedBuffer early(32 * kBlock);
  AlignedBuffer late(32 * kBlock);
  fill(early, 1);
  ASSERT_FALSE(run(Direction::write, 0, early));
  const File second = File::create(directory_.file("second"), kFileBytes, std::get<1>(GetParam()));
  {
    const BackgroundTransfers traffic(*engine_, file_, kFileBytes / 2);
    traffic.wait_for_rounds(1);
    const bool registers = engine_->register_buffer(early.span()).ok;
    traffic.wait_for_rounds(1);
    EXPECT_EQ(engine_->register_buffer(late.span()).ok, registers);
    ASSERT_EQ(engine_->add_file(second), 1);
    EXPECT_EQ(engine_->registration().ok, registers);
    EXPECT_EQ(engine_->registration().needed_bytes, early.size() + late.size());
    EXPECT_FALSE(run(Direction::read, 0, late));
    EXPECT_TRUE(same(early, late, late.size()));
    transfer(*engine_, second, {.op = Direction::write, .file = 1, .offset = 4 * kBlock, .data = late.data(), .size = late.size()});
    fill(early, 2);
    transfer(*engine_, second, {.op = Direction::read, .file = 1, .offset = 4 * kBlock, .data = early.data(), .size = early.size()});
    EXPECT_TRUE(same(early, late, late.size()));
    traffic.wait_for_rounds(1);
  }
  engine_.reset();
}

}  // namespace
}  // namespace gsnake::io
