// The link between ranks' GPUs moves bytes as they are, and adds up in the order of ranks, beginning with the first one's own bits. Ranks are threads here.
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "device/device.h"
#include "device/named_device.h"
#include "dist/device_link.h"
#include "link/place.h"
#include "torch/device_support.h"

namespace gsnake::test {
namespace {

using device::StreamKind;

constexpr std::uint64_t kPieceBytes = 64 << 10;
constexpr std::size_t kPartFloats[] = {1, 1000, (kPieceBytes / sizeof(float)) * 3 + 5};

// Of either sign and of many sizes, so that sums round; every 13th is the zero that a sum may turn into another.
float value(int rank, std::size_t i) {
  if (i % 13 == 5) return -0.0F;
  std::uint32_t bits = static_cast<std::uint32_t>(i * 2654435761U + static_cast<std::size_t>(rank) * 97U + 1U);
  bits ^= bits >> 15;
  bits *= 2246822519U;
  bits ^= bits >> 13;
  return std::ldexp(static_cast<float>(static_cast<std::int32_t>(bits)), static_cast<int>(bits % 20U) - 40);
}

std::vector<float> values(int rank, std::size_t count) {
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = value(rank, i);
  return all;
}

// One rank: its device, its side of the link, and the way there and back through the device's streams.
class Side {
 public:
  Side(const c10::intrusive_ptr<c10d::Store>& store, int rank, int count)
      : name_("cuda:" + std::to_string(rank)), support_(device::make_support(name_)), device_(device::make_device(name_)), link_(device::make_link(name_, {store, rank, count})) {
    link_->reserve(kPieceBytes);
  }

  template <typename Call>
  std::vector<float> result_of(const std::vector<float>& source, std::size_t result, const Call& call) {
    const device::HostMemory host = device_->host_alloc(std::max(source.size(), result) * sizeof(float));
    const device::DeviceMemory from = device_->device_alloc(source.size() * sizeof(float));
    const device::DeviceMemory to = device_->device_alloc(result * sizeof(float));
    std::memcpy(host.data().get(), source.data(), source.size() * sizeof(float));
    device::Stream& collective = device_->stream(StreamKind::collective);
    device_->stream(StreamKind::h2d).copy(from.data(), host.data(), source.size() * sizeof(float));
    order(StreamKind::h2d, StreamKind::collective);
    collective.compute([&](const device::ComputeScope& scope) { call(*link_, scope.address(from.data()), scope.address(to.data())); });
    order(StreamKind::collective, StreamKind::d2h);
    device_->stream(StreamKind::d2h).copy(host.data(), to.data(), result * sizeof(float));
    const std::unique_ptr<device::Event> done = device_->make_event();
    device_->stream(StreamKind::d2h).record(*done);
    done->wait();
    EXPECT_TRUE(link_->idle());
    return {host.data().as<float>(), host.data().as<float>() + result};
  }

 private:
  void order(StreamKind before, StreamKind after) {
    const std::unique_ptr<device::Event> event = device_->make_event();
    device_->stream(before).record(*event);
    device_->stream(after).wait(*event);
  }

  const std::string name_;
  const std::unique_ptr<backend::DeviceSupport> support_;
  const std::unique_ptr<device::Device> device_;
  const std::unique_ptr<dist::DeviceLink> link_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0; }

void expect_gathers(Side& side, int rank, int count, std::size_t part) {
  std::vector<float> expected;
  for (int other = 0; other < count; ++other) {
    const std::vector<float> of = values(other, part);
    expected.insert(expected.end(), of.begin(), of.end());
  }
  const auto gather = [part](dist::DeviceLink& link, std::byte* from, std::byte* to) { link.all_gather(from, to, part * sizeof(float)); };
  EXPECT_TRUE(same_bits(side.result_of(values(rank, part), expected.size(), gather), expected)) << "rank " << rank << ", parts of " << part;
}

void expect_adds_up(Side& side, int rank, int count, std::size_t part) {
  const std::size_t whole = part * static_cast<std::size_t>(count);
  std::vector<float> expected;
  for (std::size_t i = static_cast<std::size_t>(rank) * part; expected.size() < part; ++i) {
    float sum = value(0, i);
    for (int other = 1; other < count; ++other) sum += value(other, i);
    expected.push_back(sum);
  }
  const auto add_up = [part](dist::DeviceLink& link, std::byte* from, std::byte* to) { link.reduce_scatter(from, to, part * sizeof(float)); };
  EXPECT_TRUE(same_bits(side.result_of(values(rank, whole), part, add_up), expected)) << "rank " << rank << ", parts of " << part;
}

void run_rank(const c10::intrusive_ptr<c10d::Store>& store, int rank, int count) {
  Side side(store, rank, count);
  for (const std::size_t part : kPartFloats) {
    expect_gathers(side, rank, count, part);
    expect_adds_up(side, rank, count, part);
  }
}

class NcclLink : public testing::TestWithParam<int> {};

TEST_P(NcclLink, GathersAndAddsUp) {
  const int count = GetParam();
  if (const std::string why = why_not_on(count); !why.empty()) GTEST_SKIP() << why;
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        run_rank(store, rank, count);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Ranks, NcclLink, testing::Values(1, 2, 3));

}  // namespace
}  // namespace gsnake::test
