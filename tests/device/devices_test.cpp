// The devices that compute on the CPU, held to what every device must do.
#include <algorithm>

#include "device/async_device.h"
#include "device/conformance.h"

namespace gsnake::device {
namespace {

void add_on_host(std::byte* destination, const std::byte* source, std::size_t bytes) {
  std::transform(destination, destination + bytes, source, destination,
                 [](std::byte a, std::byte b) { return static_cast<std::byte>(std::to_integer<int>(a) + std::to_integer<int>(b)); });
}

template <int kSeed, int kLongestDelayUs>
std::unique_ptr<Device> make_async() {
  return std::make_unique<AsyncDevice>(AsyncOptions{.seed = kSeed, .longest_delay = std::chrono::microseconds(kLongestDelayUs)});
}

TEST(DeviceLifetime, TheDestructorWaitsForWhatWasSubmitted) {
  for (const auto make : {make_cpu_device, make_async<1, 200>}) {
    int done = 0;
    auto device = make();
    const auto event = device->make_event();
    for (int i = 0; i < 10; ++i) device->stream(StreamKind::compute).compute([&](const ComputeScope&) { ++done; });
    device->stream(StreamKind::compute).record(*event);
    device->stream(StreamKind::d2h).wait(*event);
    device->stream(StreamKind::d2h).compute([&](const ComputeScope&) { ++done; });
    device.reset();
    EXPECT_EQ(done, 11);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceConformance,
                         testing::Values(Subject{"cpu", make_cpu_device, add_on_host}, Subject{"async", make_async<1, 80>, add_on_host},
                                         Subject{"async_later", make_async<2, 800>, add_on_host},
                                         Subject{"async_without_delay", make_async<3, 0>, add_on_host}),
                         [](const auto& subject) { return std::string(subject.param.name); });

}  // namespace
}  // namespace gsnake::device
