// What the conformance suite can't provoke in the kernel: short, failing, interrupted and reordered completions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <vector>

#include "core/errors.h"
#include "io/ring_faults.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::fill;
using testing::same;
using testing::TemporaryDirectory;
using testing::Waiter;

// A script behind the kernel: what the engine is told in place of `result`, by number of the completion.
class ScriptedRing final : public RingFaults {
 public:
  using Results = std::function<int(int call, const RingTransfer& transfer, int result)>;
  explicit ScriptedRing(Results results) : results_(std::move(results)) {}
  std::size_t limit(const RingTransfer& transfer) noexcept override {
    ++asked_;
    return std::min(transfer.bytes, most_bytes);
  }
  int result(const RingTransfer& transfer, int result) noexcept override { return results_(calls_++, transfer, result); }
  std::size_t next(std::size_t held) noexcept override { return last_first ? (held < hold ? held : held - 1) : 0; }

  std::size_t most_bytes = SIZE_MAX;
  bool last_first = false;  // completions are told in reverse once there are `hold`
  std::size_t hold = 1;
  // After the engine is gone, or while it rests.
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  Results results_;
  int calls_ = 0;
  int asked_ = 0;
};

int as_it_was(int /*call*/, const RingTransfer& /*transfer*/, int result) { return result; }

class UringEngineFaults : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 64 * 1024;

  void SetUp() override {
    fill(out_, 7);
    try {
      static_cast<void>(make_uring_engine({}));
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  void make(ScriptedRing& ring, std::size_t split_bytes = 0) {
    engine_ = make_uring_engine({.depth = 8, .split_bytes = split_bytes}, &ring);
    engine_->add_file(file_);
  }
  std::error_code run(Direction op, AlignedBuffer& memory, std::uint64_t offset = 0, std::size_t bytes = kBytes) {
    Waiter waiter;
    const Request one{.op = op, .file = 0, .offset = offset, .data = memory.data(), .size = bytes, .completion = &waiter};
    EXPECT_TRUE(engine_->try_submit({&one, 1}));
    const std::error_code error = waiter.wait();
    EXPECT_EQ(waiter.count(), 1);
    return error;
  }

  TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), kBytes, DirectIo::off);
  AlignedBuffer out_{kBytes};
  AlignedBuffer in_{kBytes};
  std::unique_ptr<IoEngine> engine_;
};

TEST_F(UringEngineFaults, ShortTransfersAreCompleted) {
  ScriptedRing ring(as_it_was);
  ring.most_bytes = 777;
  make(ring);
  EXPECT_FALSE(run(Direction::write, out_));
  EXPECT_FALSE(run(Direction::read, in_));
  EXPECT_TRUE(same(out_, in_, kBytes));
  engine_.reset();
  EXPECT_EQ(ring.asked(), 2 * static_cast<int>((kBytes + 776) / 777));
}

TEST_F(UringEngineFaults, InterruptedAndRefusedTransfersAreRepeated) {
  ScriptedRing ring([](int call, const RingTransfer&, int result) {
    const int errors[]{-EINTR, -EAGAIN, result};
    return errors[call % 3];
  });
  make(ring);
  EXPECT_FALSE(run(Direction::write, out_));
  EXPECT_FALSE(run(Direction::read, in_));
  EXPECT_TRUE(same(out_, in_, kBytes));
}

TEST_F(UringEngineFaults, EndlessInterruptionsAreGivenUp) {
  ScriptedRing ring([](int, const RingTransfer&, int) { return -EINTR; });
  make(ring);
  EXPECT_EQ(run(Direction::read, in_), std::errc::interrupted);
  engine_.reset();
  EXPECT_EQ(ring.calls(), static_cast<int>(TransferState::kMaxRetries) + 1);
}

TEST_F(UringEngineFaults, EndlessRefusalsAreGivenUpAfterPauses) {
  ScriptedRing ring([](int, const RingTransfer&, int) { return -EAGAIN; });
  make(ring);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run(Direction::read, in_), std::errc::resource_unavailable_try_again);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(TransferState::kMaxRetries));
  engine_.reset();
  EXPECT_EQ(ring.calls(), static_cast<int>(TransferState::kMaxRetries) + 1);
}

TEST_F(UringEngineFaults, ATransferThatPausesHoldsUpNoOther) {
  ScriptedRing ring([](int, const RingTransfer& transfer, int result) { return transfer.offset == 0 ? -EAGAIN : result; });
  make(ring, 4096);
  Waiter refused;
  const Request first{.op = Direction::write, .file = 0, .offset = 0, .data = out_.data(), .size = 4096, .completion = &refused};
  ASSERT_TRUE(engine_->try_submit({&first, 1}));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(run(Direction::write, out_, 4096, 4096));
  EXPECT_EQ(refused.count(), 0) << "5 writes took longer than 64 pauses of a millisecond";
  EXPECT_EQ(refused.wait(), std::errc::resource_unavailable_try_again);
}

TEST_F(UringEngineFaults, AFailedPartFailsItsWholeRequestAndNoOther) {
  ScriptedRing ring([](int, const RingTransfer& transfer, int result) { return transfer.offset == 8192 ? -EIO : result; });
  make(ring, 4096);
  EXPECT_EQ(run(Direction::write, out_), core::errno_code(EIO));
  EXPECT_EQ(engine_->in_flight(), 0U);
  EXPECT_FALSE(run(Direction::write, out_, 12288, 4096));
}

TEST_F(UringEngineFaults, AFullDriveInTheMiddleSurfaces) {
  ScriptedRing ring([](int call, const RingTransfer&, int result) { return call == 0 ? 4096 : call > 1 ? result : -ENOSPC; });
  make(ring);
  EXPECT_EQ(run(Direction::write, out_), std::errc::no_space_on_device);
}

TEST_F(UringEngineFaults, NoProgressIsAnError) {
  ScriptedRing ring([](int, const RingTransfer&, int) { return 0; });
  make(ring);
  EXPECT_EQ(run(Direction::write, out_), IoFailure::no_progress);
  EXPECT_EQ(run(Direction::read, in_), IoFailure::end_of_file);
}

TEST_F(UringEngineFaults, PartsThatFinishInReverseEndTheRequestOnce) {
  std::vector<std::uint64_t> order;
  ScriptedRing ring([&](int, const RingTransfer& transfer, int result) {
    order.push_back(transfer.offset);
    return result;
  });
  ring.last_first = true;
  ring.hold = 4;
  make(ring, kBytes / 4);
  EXPECT_FALSE(run(Direction::write, out_));
  engine_.reset();
  EXPECT_TRUE(std::ranges::is_permutation(order, std::vector<std::uint64_t>{0, kBytes / 4, kBytes / 2, kBytes / 4 * 3}));
  EXPECT_GT(order.front(), order.back());
}

}  // namespace
}  // namespace gsnake::io
