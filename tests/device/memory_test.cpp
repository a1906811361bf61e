#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

#include "device/device.h"

namespace gsnake::device {
namespace {

static_assert(!std::is_copy_constructible_v<Memory> && !std::is_copy_assignable_v<Memory>);
static_assert(std::is_nothrow_move_constructible_v<Memory> && std::is_nothrow_move_assignable_v<Memory>);

class DeviceMemory : public testing::Test {
 protected:
  Memory block(std::size_t index) {
    return {&bytes_[index], index + 1, [this](std::byte* data, std::size_t bytes) {
              EXPECT_EQ(data, &bytes_[bytes - 1]);
              released_.push_back(bytes - 1);
            }};
  }

  std::byte bytes_[2] = {};
  std::vector<std::size_t> released_;
};

TEST_F(DeviceMemory, IsReleasedOnceByItsLastOwner) {
  {
    Memory first = block(0);
    Memory second = std::move(first);
    Memory third;
    third = std::move(second);
    EXPECT_EQ(third.data(), &bytes_[0]);
    EXPECT_TRUE(released_.empty());
  }
  EXPECT_EQ(released_, std::vector<std::size_t>{0});
}

TEST_F(DeviceMemory, AssignmentReleasesTheFormerBlockAtOnce) {
  Memory owner = block(0);
  owner = block(1);
  EXPECT_EQ(released_, std::vector<std::size_t>{0});
  owner = Memory();
  EXPECT_EQ(released_, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(owner.data(), nullptr);
}

TEST_F(DeviceMemory, SurvivesAssignmentToItself) {
  Memory owner = block(0);
  Memory& same = owner;
  owner = std::move(same);
  EXPECT_EQ(owner.data(), &bytes_[0]);
  EXPECT_TRUE(released_.empty());
}

}  // namespace
}  // namespace gsnake::device
