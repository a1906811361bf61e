#include "device/copy_bench.h"

#include <array>
#include <memory>
#include <thread>

#include "device/named_device.h"

namespace gsnake::bench {
namespace {

using device::StreamKind;

// Both directions' memory.
class Copies {
 public:
  explicit Copies(const CopyOptions& options)
      : options_(options), device_(device::make_device(options.device)), host_{device_->host_alloc(options.bytes), device_->host_alloc(options.bytes)},
        on_device_{device_->device_alloc(options.bytes), device_->device_alloc(options.bytes)} {}

  double seconds(bool h2d, bool d2h, std::uint64_t chunk) {
    // The CPU device copies within the call: a thread for each direction, as lanes have.
    double first = 0.0;
    double second = 0.0;
    if (!d2h) return one(StreamKind::h2d, chunk);
    if (!h2d) return one(StreamKind::d2h, chunk);
    std::thread other([&] { second = one(StreamKind::d2h, chunk); });
    first = one(StreamKind::h2d, chunk);
    other.join();
    return std::max(first, second);
  }

 private:
  double one(StreamKind kind, std::uint64_t chunk) {
    device::Stream& stream = device_->stream(kind);
    const auto i = static_cast<std::size_t>(kind == StreamKind::d2h);
    const auto event = device_->make_event();
    return seconds_of(*device_, stream, [&] {
      for (std::uint64_t done = 0; done < options_.bytes; done += chunk) {
        const std::uint64_t bytes = std::min(chunk, options_.bytes - done);
        if (kind == StreamKind::h2d) {
          stream.copy(on_device_[i].data() + done, host_[i].data() + done, bytes);
        } else {
          stream.copy(host_[i].data() + done, on_device_[i].data() + done, bytes);
        }
        if (chunk < options_.bytes) stream.record(*event);
      }
    });
  }

  const CopyOptions options_;
  std::unique_ptr<device::Device> device_;
  std::array<device::HostMemory, 2> host_;
  std::array<device::DeviceMemory, 2> on_device_;
};

struct Case {
  const char* name;
  bool h2d;
  bool d2h;
};
constexpr std::array kCases{Case{"h2d", true, false}, Case{"d2h", false, true}, Case{"both", true, true}};

}  // namespace

CopyReport bench_copy(const CopyOptions& options) {
  Copies copies(options);
  std::array<std::array<std::vector<double>, 3>, kCases.size()> all;  // by case: chunks, plain, ratio
  for (int repeat = -1; repeat < options.repeats; ++repeat) {
    for (std::size_t i = 0; i < kCases.size(); ++i) {
      const double bytes = static_cast<double>(options.bytes) * (kCases[i].h2d && kCases[i].d2h ? 2.0 : 1.0) / 1e9;
      const double chunks = bytes / copies.seconds(kCases[i].h2d, kCases[i].d2h, options.chunk_bytes);
      const double plain = bytes / copies.seconds(kCases[i].h2d, kCases[i].d2h, options.bytes);
      if (repeat < 0) continue;
      all[i][0].push_back(chunks);
      all[i][1].push_back(plain);
      all[i][2].push_back(chunks / plain);
    }
  }
  CopyReport report{options, {}};
  for (std::size_t i = 0; i < kCases.size(); ++i) report.results.push_back({kCases[i].name, spread_of(all[i][0]), spread_of(all[i][1]), spread_of(all[i][2])});
  return report;
}

}  // namespace gsnake::bench
