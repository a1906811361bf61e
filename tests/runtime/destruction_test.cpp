// An executor may end at any moment, whatever is in flight.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "device/async_device.h"
#include "runtime/rig.h"

namespace gsnake::runtime::test {
namespace {

constexpr int kRuns = 80;

// Some steps, of which up to two are in flight, then a while, then the end.
void end_somewhere(std::uint64_t seed, device::Device& device) {
  Random random(seed);
  Setup setup = random_setup(seed);
  if (random.coin()) setup.rates[random.below(setup.rates.size())] = 200e6;  // as if that lane were slow: it has tasks in hand
  SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(setup));
  Rig rig(setup, device);
  rig.load();
  const int awaited = random.between(0, 3);
  for (int i = 0; i < awaited; ++i) rig.executor().wait_results(random.below(4) == 0 ? rig.validate().ticket : rig.train().ticket);
  const int in_flight = random.between(1, 2);
  for (int i = 0; i < in_flight; ++i) random.below(4) == 0 ? rig.validate() : rig.train();
  std::this_thread::sleep_for(std::chrono::microseconds(random.below(5000)));
  rig.drop_executor();
}

TEST(Destruction, ReturnsWithStepsInFlightOnTheCpuDevice) {
  const auto device = device::make_cpu_device();
  for (std::uint64_t seed = 1; seed <= seeds(kRuns); ++seed) end_somewhere(seed, *device);
}

// The device aborts if memory is released that it still uses.
TEST(Destruction, ReturnsWithStepsInFlightOnADeviceThatIsLate) {
  for (std::uint64_t seed = 1001; seed <= 1000 + seeds(kRuns); ++seed) {
    device::AsyncDevice device({.seed = seed});
    end_somewhere(seed, device);
  }
}

// Where the executor's memory was, another's may come: a ring that took one for the other would move its bytes to pages that nobody sees.
TEST(Destruction, LeavesAnEngineThatKnowsNothingOfTheMemory) {
  const auto device = device::make_cpu_device();
  test::Setup setup = ssd_setup();
  setup.engine = io::EngineChoice::io_uring;
  Rig rig(setup, *device);
  const std::vector<std::byte>& expected = rig.initial()[0].weights;
  std::byte* const place = rig.executor().memory().host_block().data().get();
  ASSERT_LE(expected.size(), rig.executor().memory().host_block().bytes());
  rig.drop_executor();
  void* const again = ::mmap(place, expected.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(again, place) << "the memory is not released";
  rig.store().read({store::Kind::weights, 0, 0, expected.size()}, 0, place);
  EXPECT_EQ(std::memcmp(place, expected.data(), expected.size()), 0);
  ::munmap(place, expected.size());
}

}  // namespace
}  // namespace gsnake::runtime::test
