// What the conformance suite can't provoke in the kernel: short, failing, interrupted and reordered completions; and a process that may
// lock too little memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

// ---- A process that may lock too little memory ----

// Takes away what exempts root from RLIMIT_MEMLOCK, for good.
bool drop_ipc_lock() {
  if (::prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) != 0 && errno != EPERM) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  constexpr unsigned kBit = 1U << CAP_IPC_LOCK;
  data[0].effective &= ~kBit;
  data[0].permitted &= ~kBit;
  data[0].inheritable &= ~kBit;
  return ::syscall(SYS_capset, &header, data) == 0;
}

// In a process of its own. Exit status 0: everything was as it must be.
void check_memlock(const std::string& path) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("test"));
  const rlimit limit{64 * 1024, 64 * 1024};
  if (!drop_ipc_lock() || ::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) std::exit(2);
  const File file = File::open_existing(path, DirectIo::off);
  const auto engine = make_uring_engine({});
  engine->add_file(file);
  AlignedBuffer memory(16 << 20);
  AlignedBuffer more(1 << 20);
  const RegistrationReport report = engine->register_buffer(memory.span());
  static_cast<void>(engine->register_buffer(more.span()));  // is warned of no second time
  fill(memory, 3);
  transfer(*engine, file, {.op = Direction::write, .file = 0, .offset = 0, .data = memory.data(), .size = 65536});
  transfer(*engine, file, {.op = Direction::read, .file = 0, .offset = 0, .data = more.data(), .size = 65536});
  const RegistrationReport all = engine->registration();
  const bool right = !report.ok && report.error == std::errc::not_enough_memory && report.limit_bytes == 65536 &&
                     report.needed_bytes == memory.size() && !all.ok && all.needed_bytes == memory.size() + more.size() &&
                     same(memory, more, 65536);
  std::exit(right ? 0 : 1);
}

TEST_F(UringEngineFaults, MemoryBeyondTheLimitIsUsedUnregisteredWithOneWarning) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto once = [](const std::string& log) {
    const std::string message = "registered buffers need 16.00 MiB, RLIMIT_MEMLOCK is 64.00 KiB; using unregistered (raise ulimit -l)";
    const std::size_t at = log.find(message);
    return at != std::string::npos && log.find("using unregistered", at + message.size()) == std::string::npos;
  };
  EXPECT_EXIT(check_memlock(file_.path()), ::testing::ExitedWithCode(0), ::testing::Truly(once));
}

}  // namespace
}  // namespace gsnake::io
