// What the conformance suite can't provoke on real hardware: short, failing, interrupted and reordered system calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "core/errors.h"
#include "io/system_io.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::fill;
using testing::same;
using testing::TemporaryDirectory;
using testing::Waiter;

// A script in front of the kernel: may answer a call itself (a negative errno, or 0) or shorten it; -1 in `result` passes it on.
class ScriptedIo final : public SystemIo {
 public:
  struct Answer {
    bool instead = false;  // answer with `result`, without a transfer
    std::int64_t result = 0;
    std::size_t limit = SIZE_MAX;  // bytes to transfer at most
  };
  using Script = std::function<Answer(int call, std::uint64_t offset)>;
  explicit ScriptedIo(Script script) : script_(std::move(script)) {}

  std::int64_t pread(int fd, std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    const Answer answer = script_(calls_.fetch_add(1), offset);
    return answer.instead ? answer.result : kernel_io().pread(fd, data, std::min(size, answer.limit), offset);
  }
  std::int64_t pwrite(int fd, const std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    const Answer answer = script_(calls_.fetch_add(1), offset);
    return answer.instead ? answer.result : kernel_io().pwrite(fd, data, std::min(size, answer.limit), offset);
  }
  [[nodiscard]] int calls() const { return calls_.load(); }

 private:
  Script script_;
  std::atomic<int> calls_{0};
};

class ThreadEngineFaults : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 64 * 1024;

  void SetUp() override { fill(out_, 7); }
  Request request(Direction op, AlignedBuffer& memory, Waiter& waiter) {
    return {.op = op, .file = 0, .offset = 0, .data = memory.data(), .size = kBytes, .completion = &waiter};
  }
  std::error_code run(IoEngine& engine, Direction op, AlignedBuffer& memory) {
    Waiter waiter;
    const Request one = request(op, memory, waiter);
    EXPECT_TRUE(engine.try_submit({&one, 1}));
    return waiter.wait();
  }

  TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), kBytes, DirectIo::off);
  AlignedBuffer out_{kBytes};
  AlignedBuffer in_{kBytes};
};

TEST_F(ThreadEngineFaults, ShortTransfersAreCompleted) {
  ScriptedIo system([](int call, std::uint64_t) { return ScriptedIo::Answer{.limit = static_cast<std::size_t>(1 + call % 5 * 777)}; });
  const auto engine = make_thread_engine({.depth = 4, .threads = 2}, system);
  engine->add_file(file_);
  EXPECT_FALSE(run(*engine, Direction::write, out_));
  EXPECT_FALSE(run(*engine, Direction::read, in_));
  EXPECT_TRUE(same(out_, in_, kBytes));
  EXPECT_GT(system.calls(), 40);
}

TEST_F(ThreadEngineFaults, InterruptedCallsAreRepeated) {
  ScriptedIo system(
      [](int call, std::uint64_t) { return ScriptedIo::Answer{.instead = call % 3 != 2, .result = call % 3 == 0 ? -EINTR : -EAGAIN}; });
  const auto engine = make_thread_engine({.depth = 4, .threads = 1}, system);
  engine->add_file(file_);
  EXPECT_FALSE(run(*engine, Direction::write, out_));
  EXPECT_FALSE(run(*engine, Direction::read, in_));
  EXPECT_TRUE(same(out_, in_, kBytes));
}

TEST_F(ThreadEngineFaults, EndlessInterruptionsAreGivenUp) {
  ScriptedIo system([](int, std::uint64_t) { return ScriptedIo::Answer{.instead = true, .result = -EINTR}; });
  const auto engine = make_thread_engine({.depth = 4, .threads = 1}, system);
  engine->add_file(file_);
  EXPECT_EQ(run(*engine, Direction::read, in_), std::errc::interrupted);
  EXPECT_EQ(system.calls(), static_cast<int>(TransferState::kMaxRetries) + 1);
}

TEST_F(ThreadEngineFaults, AFailedPartFailsItsWholeRequestAndNoOther) {
  ScriptedIo system([](int, std::uint64_t offset) { return ScriptedIo::Answer{.instead = offset == 8192, .result = -EIO}; });
  const auto engine = make_thread_engine({.depth = 4, .threads = 2, .split_bytes = 4096}, system);
  engine->add_file(file_);
  EXPECT_EQ(run(*engine, Direction::write, out_), core::errno_code(EIO));
  EXPECT_EQ(engine->in_flight(), 0U);
  Waiter waiter;
  const Request rest{.op = Direction::write, .file = 0, .offset = 12288, .data = out_.data(), .size = 4096, .completion = &waiter};
  ASSERT_TRUE(engine->try_submit({&rest, 1}));
  EXPECT_FALSE(waiter.wait());
}

TEST_F(ThreadEngineFaults, AFullDriveInTheMiddleSurfaces) {
  ScriptedIo system([](int call, std::uint64_t) {
    return call == 0 ? ScriptedIo::Answer{.limit = 4096} : ScriptedIo::Answer{.instead = true, .result = -ENOSPC};
  });
  const auto engine = make_thread_engine({.depth = 4, .threads = 1}, system);
  engine->add_file(file_);
  EXPECT_EQ(run(*engine, Direction::write, out_), std::errc::no_space_on_device);
}

TEST_F(ThreadEngineFaults, AWriteWithoutProgressIsAnError) {
  ScriptedIo system([](int, std::uint64_t) { return ScriptedIo::Answer{.instead = true, .result = 0}; });
  const auto engine = make_thread_engine({.depth = 4, .threads = 1}, system);
  engine->add_file(file_);
  EXPECT_EQ(run(*engine, Direction::write, out_), IoFailure::no_progress);
}

TEST_F(ThreadEngineFaults, PartsThatFinishInReverseEndTheRequestOnce) {
  // The first part waits until the other three are done.
  std::latch others(3);
  ScriptedIo system([&](int, std::uint64_t offset) {
    if (offset == 0) {
      others.wait();
    } else {
      others.count_down();
    }
    return ScriptedIo::Answer{};
  });
  const auto engine = make_thread_engine({.depth = 1, .threads = 4, .split_bytes = kBytes / 4}, system);
  engine->add_file(file_);
  Waiter waiter;
  const Request one = request(Direction::write, out_, waiter);
  ASSERT_TRUE(engine->try_submit({&one, 1}));
  EXPECT_FALSE(waiter.wait());
  EXPECT_EQ(waiter.count(), 1);
}

TEST_F(ThreadEngineFaults, DestructionWaitsForACallThatHangs) {
  std::latch entered(1);
  std::latch go_on(1);
  ScriptedIo system([&](int, std::uint64_t) {
    entered.count_down();
    go_on.wait();
    return ScriptedIo::Answer{};
  });
  auto engine = make_thread_engine({.depth = 1, .threads = 1}, system);
  engine->add_file(file_);
  Waiter waiter;
  const Request one = request(Direction::write, out_, waiter);
  ASSERT_TRUE(engine->try_submit({&one, 1}));
  entered.wait();
  EXPECT_EQ(waiter.count(), 0);
  std::thread destroyer([&] { engine.reset(); });
  go_on.count_down();
  destroyer.join();
  EXPECT_EQ(waiter.count(), 1);
}

}  // namespace
}  // namespace gsnake::io
