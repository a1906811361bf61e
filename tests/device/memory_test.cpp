#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

#include "device/device.h"

namespace gsnake::device {
namespace {

static_assert(!std::is_copy_constructible_v<HostMemory> && !std::is_copy_assignable_v<HostMemory>);
static_assert(std::is_nothrow_move_constructible_v<HostMemory> && std::is_nothrow_move_assignable_v<HostMemory>);

// The two tiers do not mix, and neither is taken for an address by mistake.
static_assert(!std::is_constructible_v<DevicePtr, HostPtr> && !std::is_constructible_v<HostPtr, DevicePtr>);
static_assert(!std::is_convertible_v<std::byte*, DevicePtr> && !std::is_convertible_v<std::byte*, HostPtr>);
static_assert(!std::is_constructible_v<std::byte*, DevicePtr> && !std::is_constructible_v<std::byte*, HostPtr>);
static_assert(!std::is_assignable_v<DeviceMemory&, HostMemory> && !std::is_assignable_v<HostMemory&, DeviceMemory>);
// Only a stream says that one is inside its guard.
static_assert(!std::is_default_constructible_v<ComputeScope> && !std::is_copy_constructible_v<ComputeScope>);

class BlockOfMemory : public testing::Test {
 protected:
  HostMemory block(std::size_t index) {
    return {HostPtr(&bytes_[index]), 1, [this, index] { released_.push_back(index); }};
  }

  std::byte bytes_[2] = {};
  std::vector<std::size_t> released_;
};

TEST_F(BlockOfMemory, IsReleasedOnceByItsLastOwner) {
  {
    HostMemory first = block(0);
    HostMemory second = std::move(first);
    HostMemory third;
    third = std::move(second);
    EXPECT_EQ(third.data().get(), &bytes_[0]);
    EXPECT_TRUE(released_.empty());
  }
  EXPECT_EQ(released_, std::vector<std::size_t>{0});
}

TEST_F(BlockOfMemory, AssignmentReleasesTheFormerBlockAtOnce) {
  HostMemory owner = block(0);
  owner = block(1);
  EXPECT_EQ(released_, std::vector<std::size_t>{0});
  owner = HostMemory();
  EXPECT_EQ(released_, (std::vector<std::size_t>{0, 1}));
  EXPECT_FALSE(owner.data());
}

TEST_F(BlockOfMemory, SurvivesAssignmentToItself) {
  HostMemory owner = block(0);
  HostMemory& same = owner;
  owner = std::move(same);
  EXPECT_EQ(owner.data().get(), &bytes_[0]);
  EXPECT_TRUE(released_.empty());
}

}  // namespace
}  // namespace gsnake::device
