#include "io/request_table.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "core/errors.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::TemporaryDirectory;
using testing::Waiter;

class RequestTableTest : public ::testing::Test {
 protected:
  Request request(std::size_t size) {
    return {.op = Direction::read, .file = 0, .offset = 4096, .data = memory_.data(), .size = size, .completion = &waiter_};
  }

  TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), 65536, DirectIo::off);
  AlignedBuffer memory_{65536};
  Waiter waiter_;
};

TEST_F(RequestTableTest, SplitsARequestIntoPartsThatCoverIt) {
  RequestTable table(1, 8, 1000);
  table.add_file(file_);
  const Request whole = request(2500);
  ASSERT_TRUE(table.try_add({&whole, 1}));
  std::vector<Part*> parts;
  while (Part* part = table.next_part()) parts.push_back(part);
  ASSERT_EQ(parts.size(), 3U);
  std::uint64_t offset = 4096;
  for (const Part* part : parts) {
    EXPECT_EQ(part->transfer.offset(), offset);
    EXPECT_EQ(part->transfer.data(), memory_.data() + (offset - 4096));
    offset += part->transfer.remaining();
  }
  EXPECT_EQ(offset, 4096U + 2500U);
  EXPECT_EQ(table.finish(*parts[2], {}).completion, nullptr);
  EXPECT_EQ(table.finish(*parts[0], {}).completion, nullptr);
  EXPECT_EQ(table.in_flight(), 1U);
  EXPECT_EQ(table.finish(*parts[1], {}).completion, &waiter_);
  EXPECT_EQ(table.in_flight(), 0U);
}

TEST_F(RequestTableTest, AddsAllRequestsOrNone) {
  RequestTable table(3, 8, 65536);
  table.add_file(file_);
  const std::vector<Request> two(2, request(512));
  EXPECT_TRUE(table.try_add(two));
  EXPECT_FALSE(table.try_add(two));
  EXPECT_EQ(table.in_flight(), 2U);
  EXPECT_TRUE(table.try_add(std::span(two).first(1)));
  EXPECT_FALSE(table.try_add(std::span(two).first(1)));
  EXPECT_TRUE(table.try_add({}));
}

TEST_F(RequestTableTest, IssuesNothingMoreOfARequestThatFailedAndKeepsItsFirstError) {
  RequestTable table(2, 2, 1000);
  table.add_file(file_);
  const Request large = request(10000);
  const Request small = request(10);
  ASSERT_TRUE(table.try_add({&large, 1}));
  ASSERT_TRUE(table.try_add({&small, 1}));
  Part* first = table.next_part();
  Part* second = table.next_part();
  ASSERT_EQ(table.next_part(), nullptr);
  EXPECT_EQ(table.finish(*first, core::errno_code(EIO)).completion, nullptr);
  Part* next = table.next_part();
  ASSERT_NE(next, nullptr);
  EXPECT_EQ(next->transfer.remaining(), 10U) << "the next request's turn";
  const Ended ended = table.finish(*second, core::errno_code(ENOSPC));
  EXPECT_EQ(ended.completion, &waiter_);
  EXPECT_EQ(ended.error, core::errno_code(EIO));
  EXPECT_FALSE(table.finish(*next, {}).error);
  EXPECT_EQ(table.in_flight(), 0U);
}

TEST_F(RequestTableTest, WaitsForAFreePartAndGoesOn) {
  RequestTable table(1, 1, 1000);
  table.add_file(file_);
  const Request whole = request(3000);
  ASSERT_TRUE(table.try_add({&whole, 1}));
  for (int i = 0; i < 3; ++i) {
    Part* part = table.next_part();
    ASSERT_NE(part, nullptr);
    EXPECT_EQ(table.next_part(), nullptr);
    EXPECT_EQ(table.finish(*part, {}).completion, i == 2 ? &waiter_ : nullptr);
  }
}

TEST_F(RequestTableTest, GivesPartsOfAnUnknownFileNoDescriptor) {
  RequestTable table(1, 1, 1000);
  table.add_file(file_);
  for (const int file : {-1, 1, 77}) {
    Request whole = request(10);
    whole.file = file;
    ASSERT_TRUE(table.try_add({&whole, 1}));
    Part* part = table.next_part();
    EXPECT_EQ(table.descriptor(part->file), -1);
    EXPECT_EQ(table.finish(*part, {}).completion, &waiter_);
  }
}

}  // namespace
}  // namespace gsnake::io
