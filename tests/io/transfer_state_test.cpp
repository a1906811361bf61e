#include "io/transfer_state.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>

namespace gsnake::io {
namespace {

class TransferStateTest : public testing::Test {
 protected:
  TransferState begun(Op op, std::size_t size, std::size_t alignment = 1) {
    TransferState state;
    state.begin(op, 1000, memory_.data(), size, alignment);
    return state;
  }
  std::array<std::byte, 4096> memory_{};
};

TEST_F(TransferStateTest, IsDoneWhenEveryByteWasTransferred) {
  TransferState state = begun(Op::read, 100);
  EXPECT_EQ(state.on_result(100), Verdict::done);
  EXPECT_FALSE(state.error());
  TransferState empty = begun(Op::write, 0);
  EXPECT_EQ(empty.on_result(0), Verdict::done);
}

TEST_F(TransferStateTest, ResubmitsTheRestOfAShortTransfer) {
  TransferState state = begun(Op::write, 100);
  EXPECT_EQ(state.on_result(30), Verdict::resubmit);
  EXPECT_EQ(state.offset(), 1030U);
  EXPECT_EQ(state.data(), memory_.data() + 30);
  EXPECT_EQ(state.remaining(), 70U);
  EXPECT_EQ(state.on_result(70), Verdict::done);
}

TEST_F(TransferStateTest, TransfersTheOddEndOfADirectFileAgain) {
  TransferState state = begun(Op::read, 2048, 512);
  EXPECT_EQ(state.on_result(700), Verdict::resubmit);
  EXPECT_EQ(state.offset(), 1512U);
  EXPECT_EQ(state.remaining(), 1536U);
  EXPECT_EQ(state.on_result(188), Verdict::fail);
  EXPECT_EQ(state.error(), IoFailure::end_of_file);
}

TEST_F(TransferStateTest, NoProgressIsAnIoErrorThatNamesTheEndOfTheFile) {
  TransferState read = begun(Op::read, 100);
  EXPECT_EQ(read.on_result(0), Verdict::fail);
  EXPECT_EQ(read.error(), std::errc::io_error);
  EXPECT_EQ(read.error().message(), "no progress: the file ends there");
  TransferState write = begun(Op::write, 100);
  EXPECT_EQ(write.on_result(0), Verdict::fail);
  EXPECT_EQ(write.error(), std::errc::io_error);
  EXPECT_EQ(write.error(), IoFailure::no_progress);
}

TEST_F(TransferStateTest, RetriesTransientErrorsABoundedNumberOfTimes) {
  for (const int transient : {EINTR, EAGAIN}) {
    TransferState state = begun(Op::read, 100);
    for (unsigned i = 0; i < TransferState::kMaxRetries; ++i) ASSERT_EQ(state.on_result(-transient), Verdict::retry);
    EXPECT_EQ(state.on_result(-transient), Verdict::fail);
    EXPECT_EQ(state.error().value(), transient);
  }
}

TEST_F(TransferStateTest, ProgressRenewsTheRetries) {
  TransferState state = begun(Op::read, 100);
  for (unsigned i = 0; i < TransferState::kMaxRetries; ++i) ASSERT_EQ(state.on_result(-EAGAIN), Verdict::retry);
  EXPECT_EQ(state.on_result(1), Verdict::resubmit);
  EXPECT_EQ(state.on_result(-EAGAIN), Verdict::retry);
}

TEST_F(TransferStateTest, FailsAtOnceWithAnyOtherErrno) {
  for (const int error : {EIO, ENOSPC, EBADF, EFBIG, EINVAL, ECANCELED}) {
    TransferState state = begun(Op::write, 100);
    EXPECT_EQ(state.on_result(-error), Verdict::fail);
    EXPECT_EQ(state.error(), std::error_code(error, std::system_category()));
  }
}

TEST_F(TransferStateTest, ForgetsThePastWhenItBeginsAgain) {
  TransferState state = begun(Op::write, 100);
  EXPECT_EQ(state.on_result(-EIO), Verdict::fail);
  state.begin(Op::read, 0, memory_.data(), 10, 1);
  EXPECT_FALSE(state.error());
  EXPECT_EQ(state.on_result(10), Verdict::done);
}

}  // namespace
}  // namespace gsnake::io
