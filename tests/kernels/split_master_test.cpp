#include "kernels/split_master.h"

#include "support.h"

namespace gsnake::kernels {
namespace {

class SplitMaster : public testing::TestWithParam<std::tuple<std::int64_t, std::int64_t>> {};

// Every exponent, ties, and what is not finite.
void fill_bits(Buffer<float>& master) {
  std::mt19937 random(7);
  constexpr std::uint32_t kSpecial[] = {0, 0x80000000, 0x3f808000, 0x3f818000, 0xbf808000, 0x7f7fffff, 0x7f800000, 0xff800000, 1, 0x80000001, 0x33000000, 0x33000001, 0x477ff000, 0x477fefff, 0x387fe000, 0x38802000};
  for (std::int64_t i = 0; i < master.size(); ++i) {
    std::uint32_t bits = i < static_cast<std::int64_t>(std::size(kSpecial)) ? kSpecial[i] : random();
    if ((bits & 0x7fffffffU) > 0x7f800000U) bits &= 0xff800000U;
    master[i] = std::bit_cast<float>(bits);
  }
}

TEST_P(SplitMaster, HasTheBitsOfTheCpuAndJoinsToTheMaster) {
  const auto [count, offset] = GetParam();
  Buffer<float> master(count, offset);
  fill_bits(master);
  std::vector<std::uint16_t> want_weight(count);
  std::vector<std::int16_t> want_remainder(count);
  optim::split_master({master.data(), static_cast<std::size_t>(count)}, want_weight, want_remainder);
  expect_same_in_every_order([&] {
    Buffer<std::uint16_t> weight(count, offset);
    Buffer<std::int16_t> remainder(count, offset);
    Buffer<float> joined(count, offset);
    EXPECT_EQ(split_master(master.data(), weight.data(), remainder.data(), count, nullptr), cudaSuccess);
    EXPECT_EQ(join_master(weight.data(), remainder.data(), joined.data(), count, nullptr), cudaSuccess);
    EXPECT_TRUE(std::equal(want_weight.begin(), want_weight.end(), weight.data()));
    EXPECT_TRUE(std::equal(want_remainder.begin(), want_remainder.end(), remainder.data()));
    EXPECT_TRUE(joined.bytes() == master.bytes());
    return joined.bytes();
  });
}

TEST_P(SplitMaster, Fp16HasTheBitsOfTheCpu) {
  const auto [count, offset] = GetParam();
  Buffer<float> master(count, offset);
  fill_bits(master);
  std::vector<std::uint16_t> want(count);
  optim::to_fp16({master.data(), static_cast<std::size_t>(count)}, want);
  expect_same_in_every_order([&] {
    Buffer<std::uint16_t> weight(count, offset);
    EXPECT_EQ(to_fp16(master.data(), weight.data(), count, nullptr), cudaSuccess);
    EXPECT_TRUE(std::equal(want.begin(), want.end(), weight.data()));
    return weight.bytes();
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, SplitMaster, testing::Combine(testing::Values(0, 1, 7, 8, 1021, kThreadSanitizer ? 2100 : 70001), testing::Values(0, 1, 3)));

}  // namespace
}  // namespace gsnake::kernels
