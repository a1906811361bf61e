// Device memory is only touched by copies, fills and the subject's `add`, so that a GPU can be a subject as well.
#include "device/conformance.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::device {
namespace {

TEST_P(DeviceConformance, HasAName) { EXPECT_FALSE(device_->name().empty()); }

TEST_P(DeviceConformance, MemoryIsAlignedAndOfTheSizeAskedFor) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4095}, std::size_t{4097}, (std::size_t{3} << 20) + 5}) {
    const DeviceMemory on_device = device_->device_alloc(bytes);
    const HostMemory on_host = device_->host_alloc(bytes);
    std::uintptr_t address = 1;
    stream(StreamKind::compute).compute([&](const ComputeScope& scope) { address = reinterpret_cast<std::uintptr_t>(scope.address(on_device.data())); });
    finish(StreamKind::compute);
    EXPECT_EQ(address % 4096, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(on_host.data().get()) % 4096, 0U);
    EXPECT_EQ(on_device.bytes(), bytes);
    EXPECT_EQ(on_host.bytes(), bytes);
  }
}

TEST_P(DeviceConformance, AnEmptyBlockHasNoMemory) {
  EXPECT_FALSE(device_->device_alloc(0).data());
  EXPECT_FALSE(device_->host_alloc(0).data());
}

TEST_P(DeviceConformance, MemoryStartsZeroedEvenWhereItWasUsedBefore) {
  const std::size_t bytes = 3 << 20;
  for (int round = 0; round < 3; ++round) {
    const DeviceMemory on_device = device_->device_alloc(bytes);
    const HostMemory on_host = device_->host_alloc(bytes);
    EXPECT_EQ(content(on_host), filled(bytes, 0));
    EXPECT_EQ(download(on_device), filled(bytes, 0));
    std::memset(on_host.data().get(), 0xff, bytes);
    stream(StreamKind::h2d).copy(on_device.data(), on_host.data(), bytes);
    finish(StreamKind::h2d);
  }
}

TEST_P(DeviceConformance, RefusesWhatDoesNotFitNamingSizeAndTier) {
  const std::size_t absurd = std::size_t{1} << 60;
  for (const bool on_device : {true, false}) {
    try {
      if (on_device) {
        device_->device_alloc(absurd);
      } else {
        device_->host_alloc(absurd);
      }
      FAIL() << "allocated " << absurd << " bytes";
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_EQ(error.kind(), ErrorKind::budget);
      EXPECT_NE(text.find(core::format_bytes(absurd)), std::string::npos) << text;
      EXPECT_NE(text.find(on_device ? "memory.device_budget" : "memory.host_budget"), std::string::npos) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
  EXPECT_TRUE(device_->device_alloc(4096).data()) << "a refusal must leave the device usable";
}

TEST_P(DeviceConformance, MemoryMovesWithItsContent) {
  HostMemory first = host(5000, 7);
  const HostPtr data = first.data();
  HostMemory second = std::move(first);
  EXPECT_TRUE(second.data() == data);
  second = device_->host_alloc(100);
  EXPECT_EQ(content(second), filled(100, 0));
}

TEST_P(DeviceConformance, CopiesOfAStreamRunInOrder) {
  const std::size_t bytes = 100'003;
  const HostMemory a = host(bytes, 1);
  const HostMemory b = host(bytes, 2);
  const DeviceMemory slot = device_->device_alloc(bytes);
  const DeviceMemory other = device_->device_alloc(bytes);
  const HostMemory after_a = device_->host_alloc(bytes);
  const HostMemory after_b = device_->host_alloc(bytes);
  Stream& copies = stream(StreamKind::h2d);
  copies.copy(slot.data(), a.data(), bytes);
  copies.copy(after_a.data(), slot.data(), bytes);
  copies.copy(slot.data(), b.data(), bytes);
  copies.copy(other.data(), slot.data(), bytes);
  copies.copy(after_b.data(), other.data(), bytes);
  finish(StreamKind::h2d);
  EXPECT_EQ(content(after_a), filled(bytes, 1));
  EXPECT_EQ(content(after_b), filled(bytes, 2));
}

TEST_P(DeviceConformance, CopiesAndFillsTouchTheirRangeOnly) {
  const HostMemory source = host(4096, 9);
  const DeviceMemory slot = device_->device_alloc(4096);
  Stream& copies = stream(StreamKind::h2d);
  copies.copy(slot.data() + 3, source.data() + 1, 1001);
  copies.fill_zero(slot.data() + 500, 7);
  copies.copy(slot.data() + 2000, slot.data() + 3, 10);
  copies.copy(slot.data(), source.data(), 0);
  copies.fill_zero(slot.data(), 0);
  finish(StreamKind::h2d);
  Bytes expected = filled(4096, 0);
  std::fill_n(expected.begin() + 3, 1001, std::byte{9});
  std::fill_n(expected.begin() + 500, 7, std::byte{0});
  std::fill_n(expected.begin() + 2000, 10, std::byte{9});
  EXPECT_EQ(download(slot), expected);
}

TEST_P(DeviceConformance, FillsAndComputeKeepTheirPlaceAmongCopies) {
  const std::size_t bytes = 10'000;
  const auto add = GetParam().add;
  const HostMemory ones = host(bytes, 1);
  const DeviceMemory addend = device_->device_alloc(bytes);
  const DeviceMemory sum = device_->device_alloc(bytes);
  const HostMemory result = device_->host_alloc(bytes);
  Stream& compute = stream(StreamKind::compute);
  compute.copy(addend.data(), ones.data(), bytes);
  compute.copy(sum.data(), ones.data(), bytes);
  compute.fill_zero(sum.data(), bytes);
  for (int i = 0; i < 5; ++i) {
    compute.compute([&](const ComputeScope& scope) { add(scope.address(sum.data()), scope.address(addend.data()), bytes); });
  }
  compute.copy(result.data(), sum.data(), bytes);
  compute.fill_zero(sum.data(), bytes);
  finish(StreamKind::compute);
  EXPECT_EQ(content(result), filled(bytes, 5));
}

TEST_P(DeviceConformance, ComputeRunsEachWorkOnce) {
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) stream(StreamKind::compute).compute([&order, i](const ComputeScope&) { order.push_back(i); });
  finish(StreamKind::compute);
  ASSERT_EQ(order.size(), 20U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(DeviceConformance, WorkKeepsNothingAliveOnceItsEventIsReached) {
  const auto captured = std::make_shared<int>(0);
  stream(StreamKind::compute).compute([captured](const ComputeScope&) { ++*captured; });
  finish(StreamKind::compute);
  EXPECT_EQ(*captured, 1);
  EXPECT_EQ(captured.use_count(), 1);
}

// Two slots, filled by one stream, added up by a second, brought back by a third: every edge that a streamed unit has.
TEST_P(DeviceConformance, EventsOrderAPipelineOfStreamsThroughReusedSlots) {
  constexpr int kRounds = 40;
  const std::size_t bytes = 20'000;
  const auto add = GetParam().add;
  const HostMemory source = device_->host_alloc(kRounds * bytes);
  const HostMemory sums = device_->host_alloc(kRounds * bytes);
  const DeviceMemory total = device_->device_alloc(bytes);
  const DeviceMemory slots[2] = {device_->device_alloc(bytes), device_->device_alloc(bytes)};
  std::unique_ptr<Event> fetched[2] = {device_->make_event(), device_->make_event()};
  std::unique_ptr<Event> used[2] = {device_->make_event(), device_->make_event()};
  const auto added = device_->make_event();
  const auto saved = device_->make_event();
  for (int round = 0; round < kRounds; ++round) {
    const int i = round % 2;
    const std::size_t offset = static_cast<std::size_t>(round) * bytes;
    std::memset(source.data().get() + offset, round, bytes);
    stream(StreamKind::h2d).wait(*used[i]);
    stream(StreamKind::h2d).copy(slots[i].data(), source.data() + offset, bytes);
    stream(StreamKind::h2d).record(*fetched[i]);
    stream(StreamKind::compute).wait(*fetched[i]);
    stream(StreamKind::compute).wait(*saved);
    stream(StreamKind::compute).compute([add, to = total.data(), from = slots[i].data(), bytes](const ComputeScope& scope) {
      add(scope.address(to), scope.address(from), bytes);
    });
    stream(StreamKind::compute).record(*used[i]);
    stream(StreamKind::compute).record(*added);
    stream(StreamKind::d2h).wait(*added);
    stream(StreamKind::d2h).copy(sums.data() + offset, total.data(), bytes);
    stream(StreamKind::d2h).record(*saved);
  }
  saved->wait();
  for (int round = 0; round < kRounds; ++round) {
    const std::byte* sum = sums.data().get() + static_cast<std::size_t>(round) * bytes;
    ASSERT_EQ(Bytes(sum, sum + bytes), filled(bytes, round * (round + 1) / 2 % 256)) << "round " << round;
  }
}

TEST_P(DeviceConformance, AnEventNeverRecordedCountsAsReached) {
  const auto event = device_->make_event();
  EXPECT_TRUE(event->reached());
  event->wait();
  stream(StreamKind::compute).wait(*event);
  finish(StreamKind::compute);
}

TEST_P(DeviceConformance, RecordingAgainMovesTheEvent) {
  const HostMemory source = host(50'000, 3);
  const DeviceMemory slot = device_->device_alloc(50'000);
  const HostMemory result = device_->host_alloc(50'000);
  const auto event = device_->make_event();
  Stream& copies = stream(StreamKind::h2d);
  copies.record(*event);
  copies.copy(slot.data(), source.data(), source.bytes());
  copies.record(*event);
  copies.copy(result.data(), slot.data(), source.bytes());
  copies.record(*event);
  event->wait();
  EXPECT_TRUE(event->reached());
  EXPECT_EQ(content(result), filled(50'000, 3));
}

// Were the first wait to follow the event, both streams would wait for one another.
TEST_P(DeviceConformance, AWaitKeepsThePointThatItWasGiven) {
  const auto event = device_->make_event();
  const auto answer = device_->make_event();
  stream(StreamKind::h2d).record(*event);
  stream(StreamKind::compute).wait(*event);
  stream(StreamKind::compute).record(*answer);
  stream(StreamKind::h2d).wait(*answer);
  stream(StreamKind::h2d).record(*event);
  event->wait();
  EXPECT_TRUE(answer->reached());
}

TEST_P(DeviceConformance, AnEventCanBeDestroyedBeforeItIsReached) {
  const HostMemory source = host(30'000, 4);
  const DeviceMemory slot = device_->device_alloc(30'000);
  auto event = device_->make_event();
  stream(StreamKind::h2d).copy(slot.data(), source.data(), source.bytes());
  stream(StreamKind::h2d).record(*event);
  stream(StreamKind::d2h).wait(*event);
  event.reset();
  EXPECT_EQ(download(slot), filled(30'000, 4));
  finish(StreamKind::h2d);
}

TEST_P(DeviceConformance, TheHostWaitsOnAnyThreadAndByPolling) {
  const DeviceMemory source = device_->device_alloc(70'000);
  upload(StreamKind::d2h, source, 6);
  const HostMemory result = device_->host_alloc(70'000);
  const auto event = device_->make_event();
  stream(StreamKind::d2h).copy(result.data(), source.data(), source.bytes());
  stream(StreamKind::d2h).record(*event);
  Bytes seen;
  std::thread waiter([&] {
    event->wait();
    seen = content(result);
  });
  while (!event->reached()) std::this_thread::yield();
  EXPECT_EQ(content(result), filled(70'000, 6));
  waiter.join();
  EXPECT_EQ(seen, filled(70'000, 6));
}

TEST_P(DeviceConformance, EachStreamMayHaveAThreadOfItsOwn) {
  std::vector<std::thread> threads;
  std::vector<Bytes> results(kStreamCount);
  for (int kind = 0; kind < kStreamCount; ++kind) {
    threads.emplace_back([this, kind, &result = results[static_cast<std::size_t>(kind)]] {
      Stream& mine = stream(static_cast<StreamKind>(kind));
      for (int round = 0; round < 10; ++round) {
        const HostMemory source = host(9000, 10 * kind + round);
        const DeviceMemory slot = device_->device_alloc(9000);
        const HostMemory target = device_->host_alloc(9000);
        const auto event = device_->make_event();
        mine.copy(slot.data(), source.data(), 9000);
        mine.copy(target.data(), slot.data(), 9000);
        mine.record(*event);
        event->wait();
        result = content(target);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int kind = 0; kind < kStreamCount; ++kind) EXPECT_EQ(results[static_cast<std::size_t>(kind)], filled(9000, 10 * kind + 9));
}

TEST_P(DeviceConformance, AnErrorInComputeReachesWhoeverAwaitsIt) {
  const auto event = device_->make_event();
  try {
    stream(StreamKind::compute).compute([](const ComputeScope&) { throw Error(ErrorKind::non_finite, "the loss is nan"); });
    stream(StreamKind::compute).record(*event);
    stream(StreamKind::d2h).wait(*event);
    finish(StreamKind::d2h);
    FAIL() << "the error was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::non_finite);
    EXPECT_STREQ(error.what(), "the loss is nan");
  }
}

}  // namespace
}  // namespace gsnake::device
