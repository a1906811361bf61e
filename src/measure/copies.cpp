#include "measure/copies.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "measure/median.h"
#include "measure/test_files.h"

namespace gsnake::measure {
namespace {

using device::StreamKind;

constexpr std::uint64_t kSmallCopy = 4096;
constexpr int kSmallCopies = 15;

}  // namespace

// All of it is written once: pages that never were are read from one page of zeros, which stays in a cache.
Copies::Copies(device::Device& device, std::uint64_t bytes, std::uint64_t block_bytes)
    : device_(device),
      block_bytes_(block_bytes),
      half_bytes_(std::max<std::uint64_t>(1, bytes / 2 / block_bytes) * block_bytes),
      host_(device.host_alloc(2 * half_bytes_)),
      memory_(device.device_alloc(2 * half_bytes_)) {
  fill_with_noise({host_.data().get(), host_.bytes()});
  device::Stream& stream = device_.stream(StreamKind::h2d);
  const auto done = device_.make_event();
  stream.copy(memory_.data(), host_.data(), host_.bytes());
  stream.record(*done);
  done->wait();
}

std::unique_ptr<Load> Copies::to_device() { return load("copies to the device", StreamKind::h2d); }
std::unique_ptr<Load> Copies::from_device() { return load("copies from the device", StreamKind::d2h); }

void Copies::copy(StreamKind kind, std::uint64_t offset, std::uint64_t bytes) {
  device::Stream& stream = device_.stream(kind);
  if (kind == StreamKind::h2d)
    stream.copy(memory_.data() + offset, host_.data() + offset, bytes);
  else
    stream.copy(host_.data() + half_bytes_ + offset, memory_.data() + half_bytes_ + offset, bytes);
}

// One copy is behind the one that is waited for, as the executor submits ahead.
std::unique_ptr<Load> Copies::load(const char* what, StreamKind kind) {
  const Load::Body body = [this, kind](const std::stop_token& stop, Counter& counter) {
    device::Stream& stream = device_.stream(kind);
    const std::array events{device_.make_event(), device_.make_event()};
    std::uint64_t submitted = 0;
    const auto wait = [&](std::uint64_t number) {
      events[number % 2]->wait();
      counter.add(static_cast<double>(block_bytes_));
    };
    for (std::uint64_t offset = 0; !stop.stop_requested(); offset = (offset + block_bytes_) % half_bytes_) {
      copy(kind, offset, block_bytes_);
      stream.record(*events[submitted % 2]);
      if (submitted > 0) wait(submitted - 1);
      ++submitted;
    }
    if (submitted > 0) wait(submitted - 1);
  };
  return std::make_unique<Load>(what, std::vector{body});
}

double Copies::latency(StreamKind kind) {
  const auto done = device_.make_event();
  const std::uint64_t bytes = std::min(kSmallCopy, block_bytes_);
  std::vector<double> seconds;
  for (int i = 0; i < kSmallCopies; ++i) {
    const auto start = std::chrono::steady_clock::now();
    copy(kind, 0, bytes);
    device_.stream(kind).record(*done);
    done->wait();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return median(std::move(seconds));
}

sim::CopyProfile measure_copies(Copies& copies, StreamKind kind, bool on_cpu, const Patience& patience) {
  sim::CopyProfile profile;
  profile.latency = copies.latency(kind);
  const auto load = kind == StreamKind::h2d ? copies.to_device() : copies.from_device();
  const Observation seen = observe(std::array<const Load*, 1>{load.get()}, patience);
  profile.per_second = seen.per_second.front();
  profile.share = {.cores = on_cpu ? 1.0 : std::min(1.0, seen.cores), .dram = on_cpu ? 2.0 : 1.0};
  return profile;
}

}  // namespace gsnake::measure
