#include "io/transfer_state.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>

namespace gsnake::io {
namespace {

class TransferStateTest : public testing::Test {
 protected:
  TransferState begun(Direction op, std::size_t size, std::size_t alignment = 1) {
    TransferState state;
    state.begin(op, 1000, memory_.data(), size, alignment);
    return state;
  }
  std::array<std::byte, 4096> memory_{};
};

TEST_F(TransferStateTest, IsDoneWhenEveryByteWasTransferred) {
  TransferState state = begun(Direction::read, 100);
  EXPECT_EQ(state.on_result(100), NextMove::done);
  EXPECT_FALSE(state.error());
  TransferState empty = begun(Direction::write, 0);
  EXPECT_EQ(empty.on_result(0), NextMove::done);
}

TEST_F(TransferStateTest, ResubmitsTheRestOfAShortTransfer) {
  TransferState state = begun(Direction::write, 100);
  EXPECT_EQ(state.on_result(30), NextMove::resubmit);
  EXPECT_EQ(state.offset(), 1030U);
  EXPECT_EQ(state.data(), memory_.data() + 30);
  EXPECT_EQ(state.remaining(), 70U);
  EXPECT_EQ(state.on_result(70), NextMove::done);
}

TEST_F(TransferStateTest, TransfersTheOddEndOfADirectFileAgain) {
  TransferState state = begun(Direction::read, 2048, 512);
  EXPECT_EQ(state.on_result(700), NextMove::resubmit);
  EXPECT_EQ(state.offset(), 1512U);
  EXPECT_EQ(state.remaining(), 1536U);
  EXPECT_EQ(state.on_result(188), NextMove::fail);
  EXPECT_EQ(state.error(), IoFailure::end_of_file);
}

TEST_F(TransferStateTest, NoProgressIsAnIoErrorThatNamesTheEndOfTheFile) {
  TransferState read = begun(Direction::read, 100);
  EXPECT_EQ(read.on_result(0), NextMove::fail);
  EXPECT_EQ(read.error(), std::errc::io_error);
  EXPECT_EQ(read.error().message(), "no progress: the file ends there");
  TransferState write = begun(Direction::write, 100);
  EXPECT_EQ(write.on_result(0), NextMove::fail);
  EXPECT_EQ(write.error(), std::errc::io_error);
  EXPECT_EQ(write.error(), IoFailure::no_progress);
}

TEST_F(TransferStateTest, RetriesTransientErrorsABoundedNumberOfTimes) {
  for (const int transient : {EINTR, EAGAIN}) {
    TransferState state = begun(Direction::read, 100);
    for (unsigned i = 0; i < TransferState::kMaxRetries; ++i) ASSERT_EQ(state.on_result(-transient), NextMove::retry);
    EXPECT_EQ(state.on_result(-transient), NextMove::fail);
    EXPECT_EQ(state.error().value(), transient);
  }
}

TEST_F(TransferStateTest, ProgressRenewsTheRetries) {
  TransferState state = begun(Direction::read, 100);
  for (unsigned i = 0; i < TransferState::kMaxRetries; ++i) ASSERT_EQ(state.on_result(-EAGAIN), NextMove::retry);
  EXPECT_EQ(state.on_result(1), NextMove::resubmit);
  EXPECT_EQ(state.on_result(-EAGAIN), NextMove::retry);
}

TEST_F(TransferStateTest, FailsAtOnceWithAnyOtherErrno) {
  for (const int error : {EIO, ENOSPC, EBADF, EFBIG, EINVAL, ECANCELED}) {
    TransferState state = begun(Direction::write, 100);
    EXPECT_EQ(state.on_result(-error), NextMove::fail);
    EXPECT_EQ(state.error(), std::error_code(error, std::system_category()));
  }
}

TEST_F(TransferStateTest, ForgetsThePastWhenItBeginsAgain) {
  TransferState state = begun(Direction::write, 100);
  EXPECT_EQ(state.on_result(-EIO), NextMove::fail);
  state.begin(Direction::read, 0, memory_.data(), 10, 1);
  EXPECT_FALSE(state.error());
  EXPECT_EQ(state.on_result(10), NextMove::done);
}

}  // namespace
}  // namespace gsnake::io
