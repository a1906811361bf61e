// The executor over the CUDA device: the bits of training in memory, however late its streams are; a race of the order that it promises shows to
// ThreadSanitizer.
#include <gtest/gtest.h>

#include "fake/control.h"
#include "runtime/journey.h"
#include "runtime/kernel_device.h"

namespace gsnake::runtime::test {
namespace {

class CudaBitIdentity : public testing::Test {
 protected:
  void SetUp() override { reports_ = fake_cuda_reports(); }
  void TearDown() override { EXPECT_EQ(fake_cuda_reports(), reports_) << "misuse of CUDA, see stderr"; }

  static void expect_same_bits(const runtime::test::Setup& setup, std::uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(setup));
    const auto device = gsnake::test::make_kernel_device(seed);
    Rig rig(setup, *device);
    Journey journey(rig, setup.problem, seed);
    journey.run(6);
  }
  int reports_ = 0;
};

TEST_F(CudaBitIdentity, TrainsAsInMemory) {
  for (std::uint64_t seed = 1; seed <= seeds(20) && !HasFailure(); ++seed) expect_same_bits(random_setup(seed), seed);
}

TEST_F(CudaBitIdentity, HoldsForTablesOfObjectsOfAnyShape) {
  for (std::uint64_t seed = 1; seed <= seeds(20) && !HasFailure(); ++seed) expect_same_bits(random_table_setup(seed), seed);
}

}  // namespace
}  // namespace gsnake::runtime::test
