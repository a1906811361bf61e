// The conformance suite: what every IoEngine promises.
#include "io/engine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "engine_conformance.h"

namespace gsnake::io {
namespace {

TEST_P(IoEngineConformance, ReadsWhatWasWrittenAtManySizesAndOffsets) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 60; ++i) {
    const std::size_t size = kBlock * (1 + random() % 96);
    const std::uint64_t offset = kBlock * (random() % ((kFileBytes - size) / kBlock + 1));
    AlignedBuffer out(size);
    AlignedBuffer in(size);
    fill(out, i);
    ASSERT_FALSE(run(Direction::write, offset, out)) << size << " at " << offset;
    ASSERT_FALSE(run(Direction::read, offset, in)) << size << " at " << offset;
    ASSERT_TRUE(same(out, in, size)) << size << " at " << offset;
  }
}

TEST_P(IoEngineConformance, ABufferedFileTakesOddSizesAndOffsets) {
  const File buffered = File::create(directory_.file("buffered"), 1 << 20, DirectIo::off);
  const int index = engine_->add_file(buffered);
  AlignedBuffer out(200'001);
  AlignedBuffer in(200'001);
  fill(out, 3);
  transfer(*engine_, buffered, {.op = Direction::write, .file = index, .offset = 12345, .data = out.data(), .size = out.size()});
  transfer(*engine_, buffered, {.op = Direction::read, .file = index, .offset = 12345, .data = in.data(), .size = in.size()});
  EXPECT_TRUE(same(out, in, out.size()));
  engine_.reset();
}

TEST_P(IoEngineConformance, WritesReachTheFileAndNoByteBesideThem) {
  AlignedBuffer block(kBlock);
  AlignedBuffer around(3 * kBlock);
  fill(around, 1);
  ASSERT_FALSE(run(Direction::write, 0, around));
  fill(block, 2);
  ASSERT_FALSE(run(Direction::write, kBlock, block));
  std::memcpy(around.data() + kBlock, block.data(), kBlock);
  AlignedBuffer in(3 * kBlock);
  const File again = File::open_existing(file_.path(), DirectIo::off);
  ASSERT_EQ(::pread(again.fd(), in.data(), in.size(), 0), static_cast<ssize_t>(in.size()));
  EXPECT_TRUE(same(around, in, in.size()));
}

TEST_P(IoEngineConformance, ATransferOfNothingSucceeds) {
  Waiter waiter;
  const Request nothing{.op = Direction::read, .file = 0, .offset = 0, .data = nullptr, .size = 0, .completion = &waiter};
  ASSERT_TRUE(engine_->try_submit({&nothing, 1}));
  EXPECT_FALSE(waiter.wait());
}

TEST_P(IoEngineConformance, RefusesAllOfABatchOverItsCapacityAndRecovers) {
  const std::size_t capacity = engine_->capacity();
  ASSERT_EQ(capacity, 8U);
  AlignedBuffer memory((capacity + 1) * kBlock);
  Waiter waiter;
  std::vector<Request> too_many(capacity + 1, request(Direction::read, 0, memory, waiter));
  for (std::size_t i = 0; i < too_many.size(); ++i) {
    too_many[i].data = memory.data() + i * kBlock;
    too_many[i].size = kBlock;
  }
  EXPECT_FALSE(engine_->try_submit(too_many));
  EXPECT_EQ(engine_->in_flight(), 0U);
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(engine_->try_submit(std::span(too_many).first(capacity)));
    EXPECT_FALSE(waiter.wait(round * static_cast<int>(capacity)));
  }
  EXPECT_EQ(waiter.count(), 3 * static_cast<int>(capacity));
  EXPECT_EQ(engine_->in_flight(), 0U);
}

TEST_P(IoEngineConformance, ReadingPastTheEndNamesTheEnd) {
  AlignedBuffer memory(4 * kBlock);
  for (const std::uint64_t offset : {kFileBytes - 2 * kBlock, kFileBytes, kFileBytes + 64 * kBlock}) {
    const std::error_code error = run(Direction::read, offset, memory);
    EXPECT_EQ(error, std::errc::io_error);
    EXPECT_EQ(error.message(), "no progress: the file ends there");
  }
  EXPECT_FALSE(run(Direction::read, kFileBytes - 4 * kBlock, memory)) << "the engine goes on";
}

TEST_P(IoEngineConformance, ReadingPastAnOddEndNamesTheEnd) {
  ASSERT_EQ(::truncate(file_.path().c_str(), 3 * kBlock + 100), 0);
  AlignedBuffer memory(8 * kBlock);
  EXPECT_EQ(run(Direction::read, 0, memory), IoFailure::end_of_file);
}

TEST_P(IoEngineConformance, AnUnknownFileIsAnError) {
  AlignedBuffer memory(kBlock);
  for (const int file : {-1, 1, 1000}) {
    Waiter waiter;
    Request one = request(Direction::read, 0, memory, waiter);
    one.file = file;
    ASSERT_TRUE(engine_->try_submit({&one, 1}));
    EXPECT_EQ(waiter.wait(), std::errc::bad_file_descriptor);
  }
}

TEST_P(IoEngineConformance, AWriteThatTheSystemRefusesSurfaces) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  AlignedBuffer memory(kBlock);
  const std::error_code beyond = run(Direction::write, 2 << 20, memory);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(beyond, std::errc::file_too_large);
  EXPECT_FALSE(run(Direction::write, 2 << 20, memory)) << "the engine goes on";
}

TEST_P(IoEngineConformance, DestructionWaitsForWhatIsInFlight) {
  AlignedBuffer memory(kFileBytes);
  fill(memory, 9);
  Waiter waiter;
  const Request one = request(Direction::write, 0, memory, waiter);
  ASSERT_TRUE(engine_->try_submit({&one, 1}));
  engine_.reset();
  EXPECT_EQ(waiter.count(), 1);
  EXPECT_EQ(waiter.failures(), 0);
}

TEST_P(IoEngineConformance, DestructionOfAnEngineThatWasNeverUsed) { engine_.reset(); }

TEST_P(IoEngineConformance, ThreadsThatEndRightAfterTheySubmitLoseNothing) {
  AlignedBuffer memory(8 * kBlock * 16);
  fill(memory, 4);
  Waiter waiter;
  for (int i = 0; i < 8; ++i) {
    std::thread([&, i] {
      const Request one{.op = Direction::write,
                        .file = 0,
                        .offset = static_cast<std::uint64_t>(i) * 16 * kBlock,
                        .data = memory.data() + static_cast<std::size_t>(i) * 16 * kBlock,
                        .size = 16 * kBlock,
                        .completion = &waiter};
      while (!engine_->try_submit({&one, 1})) std::this_thread::yield();
    }).join();
  }
  EXPECT_FALSE(waiter.wait(8));
  AlignedBuffer in(memory.size());
  EXPECT_FALSE(run(Direction::read, 0, in));
  EXPECT_TRUE(same(memory, in, in.size()));
}

TEST_P(IoEngineConformance, ConcurrentSubmittersEachGetTheirOwnBytes) {
  constexpr int kThreads = 4;
  constexpr std::size_t kBytes = 24 * kBlock;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      AlignedBuffer out(kBytes);
      AlignedBuffer in(kBytes);
      for (int i = 0; i < 20; ++i) {
        fill(out, static_cast<std::uint64_t>(t) * 1000 + static_cast<std::uint64_t>(i));
        for (const Direction op : {Direction::write, Direction::read}) {
          Waiter waiter;
          const Request one = request(op, static_cast<std::uint64_t>(t) * kBytes, op == Direction::write ? out : in, waiter);
          while (!engine_->try_submit({&one, 1})) std::this_thread::yield();
          if (waiter.wait()) ++wrong;
        }
        if (!same(out, in, kBytes)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

// Reads the file block by block, each submitted from the completion of the one before.
class Chain final : public Completion {
 public:
  Chain(IoEngine& engine, AlignedBuffer& memory, int links) : engine_(engine), memory_(memory), links_(links) {}
  void on_complete(std::error_code error) noexcept override {
    const int link = ++done_;
    if (error || link >= links_ || !submit(link)) last_.on_complete(error);
  }
  bool submit(int link) {
    const Request one{.op = Direction::read,
                      .file = 0,
                      .offset = static_cast<std::uint64_t>(link) * kBlock,
                      .data = memory_.data() + static_cast<std::size_t>(link) * kBlock,
                      .size = kBlock,
                      .completion = this};
    return engine_.try_submit({&one, 1});
  }
  std::error_code wait() { return last_.wait(); }
  [[nodiscard]] int done() const { return done_.load(); }

 private:
  IoEngine& engine_;
  AlignedBuffer& memory_;
  const int links_;
  std::atomic<int> done_{0};
  Waiter last_;
};

TEST_P(IoEngineConformance, ACompletionMaySubmitEvenAtACapacityOfOne) {
  engine_.reset();
  make({.depth = 1, .threads = 1});
  AlignedBuffer out(64 * kBlock);
  AlignedBuffer in(64 * kBlock);
  fill(out, 11);
  ASSERT_FALSE(run(Direction::write, 0, out));
  Chain chain(*engine_, in, 64);
  ASSERT_TRUE(chain.submit(0));
  EXPECT_FALSE(chain.wait());
  EXPECT_EQ(chain.done(), 64);
  EXPECT_TRUE(same(out, in, in.size()));
}

TEST_P(IoEngineConformance, ARequestLargerThanAllPartsTogetherIsTransferred) {
  engine_.reset();
  // Rounded up to the alignment of a direct file.
  make({.depth = 2, .threads = 2, .split_bytes = 1000});
  AlignedBuffer out(64 * kBlock);
  AlignedBuffer in(64 * kBlock);
  fill(out, 12);
  EXPECT_FALSE(run(Direction::write, 0, out));
  EXPECT_FALSE(run(Direction::read, 0, in));
  EXPECT_TRUE(same(out, in, in.size()));
}

TEST_P(IoEngineConformance, TransferBlocksAndNamesWhatFailed) {
  AlignedBuffer out(kFileBytes);
  AlignedBuffer in(kFileBytes);
  fill(out, 21);
  transfer(*engine_, file_, {.op = Direction::write, .file = 0, .offset = 0, .data = out.data(), .size = out.size()});
  transfer(*engine_, file_, {.op = Direction::read, .file = 0, .offset = 0, .data = in.data(), .size = in.size()});
  EXPECT_TRUE(same(out, in, in.size()));
  try {
    transfer(*engine_, file_, {.op = Direction::read, .file = 0, .offset = kFileBytes, .data = in.data(), .size = kBlock});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_EQ(error.what(), "cannot read 4096 bytes at offset 4194304 of " + file_.path() +
                                ": no progress: the file ends there; check the file and its drive");
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, IoEngineConformance,
                         ::testing::Combine(::testing::ValuesIn(variants()), ::testing::Values(DirectIo::automatic, DirectIo::off)),
                         name_of);

}  // namespace
}  // namespace gsnake::io
