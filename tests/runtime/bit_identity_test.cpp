#include <gtest/gtest.h>

#include "device/async_device.h"
#include "runtime/journey.h"

namespace gsnake::runtime::test {
namespace {

void expect_same_bits(const Setup& setup, std::uint64_t seed, device::Device& device, Tally* tally = nullptr) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(setup));
  Rig rig(setup, device);
  Journey journey(rig, setup.problem, seed);
  journey.run(8);
  if (tally == nullptr) return;
  for (const auto& [kind, count] : journey.tally()) (*tally)[kind] += count;
}

constexpr int kSetups = 40;

TEST(BitIdentity, TrainsAsInMemoryOnTheCpuDevice) {
  const auto device = device::make_cpu_device();
  Tally tally;
  for (std::uint64_t seed = 1; seed <= seeds(kSetups) && !HasFailure(); ++seed) expect_same_bits(random_setup(seed), seed, *device, &tally);
  expect_each_kind(tally, kSetups);
}

TEST(BitIdentity, TrainsAsInMemoryOnADeviceThatIsLate) {
  for (std::uint64_t seed = 1001; seed <= 1000 + seeds(kSetups) && !HasFailure(); ++seed) {
    device::AsyncDevice device({.seed = seed});
    expect_same_bits(random_setup(seed), seed, device);
  }
}

TEST(BitIdentity, HoldsForTablesOfObjectsOfAnyShape) {
  const auto device = device::make_cpu_device();
  Tally tally;
  for (std::uint64_t seed = 1; seed <= seeds(kSetups) && !HasFailure(); ++seed) expect_same_bits(random_table_setup(seed), seed, *device, &tally);
  expect_each_kind(tally, kSetups);
}

TEST(BitIdentity, HoldsForTablesOfObjectsOnADeviceThatIsLate) {
  for (std::uint64_t seed = 1001; seed <= 1000 + seeds(kSetups) && !HasFailure(); ++seed) {
    device::AsyncDevice device({.seed = seed});
    expect_same_bits(random_table_setup(seed), seed, device);
  }
}

TEST(BitIdentity, HoldsWhateverLaneIsSlow) {
  for (std::size_t slow = 0; slow < schedule::kLaneCount && !HasFailure(); ++slow) {
    device::AsyncDevice device({.seed = slow + 3});
    auto setup = ssd_setup();
    setup.slots = 2;
    setup.problem.commits = true;
    for (schedule::Unit& unit : setup.problem.units) unit.forward_flops = 1e6;
    setup.rates[slow] = slow == static_cast<std::size_t>(Lane::compute) ? 5e9 : 100e6;
    SCOPED_TRACE(schedule::kLaneNames[slow]);
    Rig rig(setup, device);
    Journey(rig, setup.problem, slow).run(4);
  }
}

}  // namespace
}  // namespace gsnake::runtime::test
