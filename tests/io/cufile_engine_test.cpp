// What the conformance suite can't ask of the cuFile engine: cuFile's own refusals, and memory that the host can't touch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "core/errors.h"
#include "cufile_test_support.h"
#include "greedysnake/error.h"
#include "hf/logged.h"
#include "io/cufile_calls.h"

namespace gsnake::io {
namespace {

using test::Logged;
using ::testing::HasSubstr;
using testing::same;
using testing::Waiter;
using testing::fake_cufile::calls;
using testing::fake_cufile::Failure;

constexpr int kPinningFailed = 5036;
constexpr int kIoError = 5044;

class CuFileEngine : public CuFileTest {};

TEST_F(CuFileEngine, ShortTransfersAreCompleted) {
  start({.longest_transfer = 777});
  EXPECT_FALSE(run(Direction::write, out_.span()));
  EXPECT_FALSE(run(Direction::read, in_.span()));
  EXPECT_TRUE(same(out_, in_, kBytes));
  EXPECT_EQ(calls(Call::read), static_cast<int>((kBytes + 776) / 777));
}

TEST_F(CuFileEngine, ATransferThatCuFileWantsRepeatedIsRepeated) {
  start({.failures = {{Call::write, 1, -EINTR}, {Call::write, 2, -EAGAIN}, {Call::write, 3, cufile::code::kNoMemory}}});
  EXPECT_FALSE(run(Direction::write, out_.span()));
  EXPECT_EQ(calls(Call::write), 4);
}

TEST_F(CuFileEngine, EndlessRefusalsAreGivenUp) {
  start({.failures = {{Call::read, 1, cufile::code::kNoMemory, 1000}}});
  EXPECT_EQ(run(Direction::read, in_.span()), cufile::make_error_code(cufile::code::kNoMemory));
  EXPECT_EQ(calls(Call::read), static_cast<int>(TransferState::kMaxRetries) + 1);
}

// Both kinds of failure, of either call, after a part was moved: told once, and the engine goes on.
TEST_F(CuFileEngine, AFailedTransferIsToldOnceWithItsErrorAndTheNextOneWorks) {
  const std::vector<std::pair<int, std::error_code>> failures{{-EIO, core::errno_code(EIO)},
                                                              {-ENOSPC, core::errno_code(ENOSPC)},
                                                              {kIoError, cufile::make_error_code(kIoError)},
                                                              {cufile::code::kIoNotSupported, cufile::make_error_code(5008)}};
  for (const auto& [code, error] : failures) {
    for (const Direction op : {Direction::write, Direction::read}) {
      engine_.reset();
      const Call call = op == Direction::read ? Call::read : Call::write;
      start({.failures = {{call, 3, code}}, .longest_transfer = 4096});
      AlignedBuffer& memory = op == Direction::read ? in_ : out_;
      EXPECT_EQ(run(op, memory.span()), error);
      EXPECT_EQ(calls(call), 3);
      EXPECT_FALSE(run(op, memory.span())) << "the engine goes on";
    }
  }
}

TEST_F(CuFileEngine, TheErrorOfATransferNamesCuFilesOwn) {
  start({.failures = {{Call::read, 1, kIoError}}});
  try {
    transfer(*engine_, file_, {.op = Direction::read, .file = 0, .offset = 4096, .data = in_.data(), .size = 8192});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_EQ(std::string(error.what()),
              "cannot read 8192 bytes at offset 4096 of " + file_.path() +
                  ": cuFile error 5044 (CU_FILE_IO_ERROR): the transfer failed; see cufile.log in the current folder, or set "
                  "ssd.engine = \"io_uring\"");
  }
}

TEST_F(CuFileEngine, ReadingPastTheEndNamesTheEndAndNothingIsNeverAskedFor) {
  start({});
  EXPECT_EQ(run(Direction::read, in_.span(), kBytes - 4096), IoFailure::end_of_file);
  EXPECT_EQ(calls(Call::read), 2);
  EXPECT_FALSE(run(Direction::read, {}));
  EXPECT_EQ(calls(Call::read), 2);
}

TEST_F(CuFileEngine, AFileThatCuFileRefusesIsNamedWithTheRemedyAndLeavesTheOthers) {
  engine_ = make({.failures = {{Call::handle_register, 1, cufile::code::kIoNotSupported},
                               {Call::handle_register, 2, cufile::code::kCudaDriverError}}});
  const auto refusal = [&] {
    try {
      engine_->add_file(file_);
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::storage);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(
      refusal(),
      "cannot use cuFile on " + file_.path() +
          ": cuFileHandleRegister: cuFile error 5008 (CU_FILE_IO_NOT_SUPPORTED): GPUDirect Storage does not support this file; choose a "
          "folder that GPUDirect Storage supports (ext4 or xfs on NVMe), allow compatibility mode (CUFILE_ALLOW_COMPAT_MODE=true), or "
          "set ssd.engine = \"io_uring\"");
  EXPECT_THAT(refusal(), HasSubstr("(CUresult 999)"));
  EXPECT_EQ(engine_->add_file(file_), 0);
  EXPECT_FALSE(run(Direction::write, out_.span()));
}

TEST_F(CuFileEngine, MemoryThatCuFileRefusesIsUsedUnregisteredWithOneWarning) {
  const Logged log;
  start({.failures = {{Call::buffer_register, 1, kPinningFailed, 2}}});
  EXPECT_FALSE(engine_->registration().ok);
  EXPECT_EQ(engine_->registration().error, cufile::make_error_code(kPinningFailed));
  EXPECT_FALSE(run(Direction::write, out_.span()));
  EXPECT_FALSE(run(Direction::read, in_.span()));
  EXPECT_TRUE(same(out_, in_, kBytes));
  EXPECT_EQ(log.text(),
            "cuFileBufRegister of 64.00 KiB of host memory: cuFile error 5036 (CU_FILE_GPU_MEMORY_PINNING_FAILED): GPU memory could not be "
            "pinned; transfers take cuFile's own buffers\n");
}

TEST_F(CuFileEngine, FailuresOfTheEndAreLoggedByNameAndLeaveTheRest) {
  const Logged log;
  start({.failures = {{Call::buffer_deregister, 1, cufile::code::kIoNotSupported}, {Call::driver_close, 1, 5006}}});
  engine_->withdraw_buffer(out_.span());
  engine_.reset();
  EXPECT_EQ(calls(Call::buffer_deregister), 2);
  EXPECT_EQ(calls(Call::handle_deregister), 1);
  EXPECT_EQ(log.text(),
            "cuFileBufDeregister: cuFile error 5008 (CU_FILE_IO_NOT_SUPPORTED): GPUDirect Storage does not support this file\n"
            "cuFileDriverClose: cuFile error 5006 (CU_FILE_DRIVER_CLOSING): the driver is being closed\n");
}

TEST_F(CuFileEngine, WithdrawingWaitsForTheTransferThatUsesTheMemory) {
  std::latch entered(1);
  std::latch go_on(1);
  start({.before_transfer = [&](Call, std::uint64_t) {
    entered.count_down();
    go_on.wait();
  }});
  Waiter waiter;
  const Request one{.op = Direction::write, .file = 0, .offset = 0, .data = out_.data(), .size = kBytes, .completion = &waiter};
  ASSERT_TRUE(engine_->try_submit({&one, 1}));
  entered.wait();
  std::atomic<bool> withdrawn{false};
  std::thread other([&] {
    engine_->withdraw_buffer(out_.span());
    withdrawn = true;
  });
  engine_->withdraw_buffer(in_.span());  // which nothing uses
  EXPECT_FALSE(withdrawn);
  go_on.count_down();
  other.join();
  EXPECT_FALSE(waiter.wait());
  EXPECT_EQ(calls(Call::buffer_deregister), 2);
}

TEST_F(CuFileEngine, TwoEnginesShareOneDriverUntilTheLastEnds) {
  start({});
  {
    const auto second = make_cufile_engine({.depth = 1, .threads = 1}, {.library = FAKE_CUFILE});
    EXPECT_TRUE(cufile_status({.library = FAKE_CUFILE}).available);
    EXPECT_EQ(calls(Call::driver_open), 1);
  }
  EXPECT_EQ(calls(Call::driver_close), 0);
  EXPECT_FALSE(run(Direction::write, out_.span()));
  engine_.reset();
  EXPECT_EQ(calls(Call::driver_close), 1);
}

TEST_F(CuFileEngine, EveryThreadIsEnteredBeforeItsFirstTransfer) {
  thread_local bool entered = false;
  std::atomic<int> entries{0};
  std::atomic<int> strangers{0};
  testing::fake_cufile::follow({.before_transfer = [&](Call, std::uint64_t) { strangers += entered ? 0 : 1; }});
  engine_ = make_cufile_engine({.depth = 4, .threads = 3, .split_bytes = 4096}, {.library = FAKE_CUFILE, .enter_thread = [&] {
                                                                                   entered = true;
                                                                                   ++entries;
                                                                                 }});
  engine_->add_file(file_);
  EXPECT_FALSE(run(Direction::write, out_.span()));
  engine_.reset();
  EXPECT_EQ(entries, 3);
  EXPECT_EQ(strangers, 0);
}

// ---- GPU memory ----

// Addresses that the host can't touch, and the bytes that they stand for.
class CuFileDeviceMemory : public CuFileTest {
 protected:
  CuFileDeviceMemory() {
    void* const place = ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::runtime_error("no addresses left");
    device_ = {static_cast<std::byte*>(place), kBytes};
  }
  ~CuFileDeviceMemory() override { ::munmap(device_.data(), kBytes); }
  void start_with_device(Script script, const EngineOptions& options) {
    start(std::move(script), options);
    testing::fake_cufile::map_device_memory(device_, on_device_.data());
  }

  std::span<std::byte> device_;
  AlignedBuffer on_device_{kBytes};
};

TEST_F(CuFileDeviceMemory, IsReadAndWrittenWithoutTheHostTouchingIt) {
  start_with_device({.harmless = 3, .longest_delay = std::chrono::microseconds(200)}, {.depth = 4, .threads = 3, .split_bytes = 8192});
  EXPECT_TRUE(engine_->register_device_buffer(device_).ok);
  EXPECT_FALSE(run(Direction::write, out_.span()));
  EXPECT_FALSE(run(Direction::read, device_));
  EXPECT_TRUE(same(out_, on_device_, kBytes));
  testing::fill(on_device_, 2);
  EXPECT_FALSE(run(Direction::write, device_.subspan(4096, 16384), 4096));
  EXPECT_FALSE(run(Direction::read, in_.span()));
  std::memcpy(out_.data() + 4096, on_device_.data() + 4096, 16384);
  EXPECT_TRUE(same(out_, in_, kBytes));
  engine_->withdraw_buffer(device_);
}

TEST_F(CuFileDeviceMemory, ThatCuFileWillNotRegisterWorksAllTheSame) {
  start_with_device({.failures = {{Call::buffer_register, 3, kPinningFailed}}}, {.depth = 4, .threads = 1});
  const Logged log;
  EXPECT_EQ(engine_->register_device_buffer(device_).error, cufile::make_error_code(kPinningFailed));
  EXPECT_THAT(log.text(), HasSubstr("cuFileBufRegister of 64.00 KiB of GPU memory"));
  EXPECT_FALSE(run(Direction::write, out_.span()));
  EXPECT_FALSE(run(Direction::read, device_));
  EXPECT_TRUE(same(out_, on_device_, kBytes));
  EXPECT_EQ(run(Direction::read, {device_.data() + kBytes / 2, kBytes}), std::errc::bad_address) << "known all the same";
  EXPECT_EQ(calls(Call::read), 1);
}

TEST_F(CuFileDeviceMemory, ARequestThatLeavesItIsRefusedBeforeCuFileIsAsked) {
  start_with_device({}, {.depth = 4, .threads = 1});
  const std::span<std::byte> half = device_.first(kBytes / 2);
  engine_->register_device_buffer(half);
  EXPECT_EQ(run(Direction::read, device_), std::errc::bad_address);
  EXPECT_EQ(calls(Call::read), 0);
  EXPECT_FALSE(run(Direction::read, half));
}

TEST_F(CuFileDeviceMemory, IsRefusedByTheEnginesOfHostMemory) {
  const auto threads = make_thread_engine({.depth = 1, .threads = 1});
  const RegistrationReport report = threads->register_device_buffer(device_);
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.error, std::errc::operation_not_supported);
}

}  // namespace
}  // namespace gsnake::io
