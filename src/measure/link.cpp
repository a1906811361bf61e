#include "measure/link.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "measure/load.h"

namespace gsnake::measure {
namespace {

using runtime::CollectiveCall;
using schedule::Op;

constexpr std::uint64_t kSmallPart = 4096;
constexpr std::uint64_t kMostMemory = 64ULL << 20;  // of the parts of all ranks
constexpr std::uint64_t kPartMultiple = 64;
constexpr int kSmallCalls = 8;
constexpr double kLongCall = 0.04;      // seconds: larger ones tell no more
constexpr double kAllCalls = 0.12;      // of one kind
constexpr double kMostGrowth = 8.0;     // of a part from one trial to the next
constexpr double kNoticed = 1.02;       // of a gather's time: a reduce-scatter that takes less more adds up for nothing
constexpr double kCrossings = 4.0;      // of host memory's bus by a byte that is sent and one that comes: copied out of memory and into it on either way

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::uint64_t largest_part(std::uint64_t wanted, int ranks) {
  const std::uint64_t most = std::min(wanted, kMostMemory / static_cast<std::uint64_t>(ranks));
  return std::max<std::uint64_t>(1, most / kPartMultiple) * kPartMultiple;
}

class LinkBench {
 public:
  LinkBench(runtime::Collective& collective, device::Device& device, std::uint64_t part_bytes)
      : collective_(collective),
        ranks_(static_cast<std::uint64_t>(collective.ranks())),
        stream_(device.stream(device::StreamKind::collective)),
        done_(device.make_event()),
        most_(largest_part(part_bytes, collective.ranks())),
        part_(device.device_alloc(most_)),
        whole_(device.device_alloc(most_ * ranks_)),
        told_(device.host_alloc(ranks_ * sizeof(double))) {
    stream_.fill_zero(part_.data(), part_.bytes());
    stream_.fill_zero(whole_.data(), whole_.bytes());
  }

  LinkTimes run() {
    LinkTimes times;
    times.part_bytes = std::min(kSmallPart, most_);
    call(Op::all_gather, times.part_bytes);  // the first opens connections
    for (int i = 0; i < kSmallCalls; ++i) {
      const double seconds = seconds_of(Op::all_gather, times.part_bytes, 1);
      times.smallest = i == 0 ? seconds : std::min(times.smallest, seconds);
    }
    times.smallest = slowest(times.smallest);
    double gather = slowest(seconds_of(Op::all_gather, times.part_bytes, 1));
    while (gather < kLongCall && times.part_bytes < most_) {
      times.part_bytes = grown(times.part_bytes, kLongCall / gather);
      gather = slowest(seconds_of(Op::all_gather, times.part_bytes, 1));
    }
    const int calls = static_cast<int>(std::clamp(kAllCalls / gather, 2.0, 2.0 * kSmallCalls));
    call(Op::reduce_scatter, times.part_bytes);
    const double begin = seconds_now();
    const double busy = process_seconds();
    times.gather = seconds_of(Op::all_gather, times.part_bytes, calls);
    times.scatter = seconds_of(Op::reduce_scatter, times.part_bytes, calls);
    times.cores = (process_seconds() - busy) / (seconds_now() - begin);
    for (double* value : {&times.gather, &times.scatter, &times.cores}) *value = slowest(*value);
    return times;
  }

 private:
  void call(Op op, std::uint64_t part_bytes) {
    const bool gathers = op == Op::all_gather;
    const CollectiveCall call{op, gathers ? part_.data() : whole_.data(), gathers ? whole_.data() : part_.data(), part_bytes};
    stream_.compute([this, call](const device::ComputeScope& scope) { collective_.run(scope, call); });
    stream_.record(*done_);
    done_->wait();
  }

  double seconds_of(Op op, std::uint64_t part_bytes, int calls) {
    const double begin = seconds_now();
    for (int i = 0; i < calls; ++i) call(op, part_bytes);
    return (seconds_now() - begin) / calls;
  }

  // Of what each rank has measured, so that all go on alike: whoever is ready waits for the slowest.
  double slowest(double own) {
    std::memcpy(told_.data().get(), &own, sizeof own);
    stream_.copy(part_.data(), told_.data(), sizeof own);
    call(Op::all_gather, sizeof own);
    stream_.copy(told_.data(), whole_.data(), told_.bytes());
    stream_.record(*done_);
    done_->wait();
    std::vector<double> all(ranks_);
    std::memcpy(all.data(), told_.data().get(), told_.bytes());
    return *std::max_element(all.begin(), all.end());
  }

  [[nodiscard]] std::uint64_t grown(std::uint64_t part_bytes, double factor) const {
    const double bytes = static_cast<double>(part_bytes) * std::clamp(factor, 2.0, kMostGrowth);
    return std::min(most_, static_cast<std::uint64_t>(bytes) / kPartMultiple * kPartMultiple);
  }

  runtime::Collective& collective_;
  const std::uint64_t ranks_;
  device::Stream& stream_;
  const std::unique_ptr<device::Event> done_;
  const std::uint64_t most_;
  const device::DeviceMemory part_;
  const device::DeviceMemory whole_;
  const device::HostMemory told_;  // a number of each rank
};

}  // namespace

sim::LinkProfile link_of(const LinkTimes& times, int ranks, bool on_cpu) {
  sim::LinkProfile link;
  const auto part = static_cast<double>(times.part_bytes);
  link.latency = std::min(times.smallest, times.gather / 2.0);
  link.per_second = (ranks - 1.0) * part / (times.gather - link.latency);
  if (times.scatter > kNoticed * times.gather) link.adds = ranks * part / (times.scatter - times.gather);
  link.share.cores = times.cores;
  link.share.dram = on_cpu ? kCrossings : 0.0;
  return link;
}

sim::LinkProfile measure_link(runtime::Collective& collective, device::Device& device, std::uint64_t part_bytes) {
  const LinkTimes times = LinkBench(collective, device, part_bytes).run();
  return link_of(times, collective.ranks(), device.name() == "cpu");
}

}  // namespace gsnake::measure
