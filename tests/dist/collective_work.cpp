#include "dist/collective_work.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "device/device.h"

namespace gsnake::dist::test {
namespace {

constexpr std::array<std::size_t, 5> kPartFloats{1, 3, 1000, 4097, (1U << 20) + 5};

// Of either sign and of many sizes, so that sums round; every 13th is the zero that a sum may turn into another.
float value(std::size_t call, int rank, std::size_t i) {
  if (i % 13 == 5) return -0.0F;
  std::uint32_t bits = static_cast<std::uint32_t>(i * 2654435761U + call * 40503U + static_cast<std::size_t>(rank) * 97U + 1U);
  bits ^= bits >> 15;
  bits *= 2246822519U;
  bits ^= bits >> 13;
  return std::ldexp(static_cast<float>(static_cast<std::int32_t>(bits)), static_cast<int>(bits % 20U) - 40);
}

class Work {
 public:
  explicit Work(runtime::Collective& collective, int rank) : collective_(collective), rank_(rank), device_(device::make_cpu_device()) {}

  void make(schedule::Op op, std::size_t call, std::size_t part) {
    const std::size_t whole = part * static_cast<std::size_t>(collective_.ranks());
    const bool gathers = op == schedule::Op::all_gather;
    const std::size_t from = gathers ? part : whole;
    const std::size_t to = gathers ? whole : part;
    const device::DeviceMemory source = device_->device_alloc(from * sizeof(float));
    const device::DeviceMemory destination = device_->device_alloc(to * sizeof(float));
    device_->stream(device::StreamKind::collective).compute([&](const device::ComputeScope& scope) {
      for (std::size_t i = 0; i < from; ++i) scope.as<float>(source.data())[i] = value(call, rank_, i);
      collective_.run(scope, {op, source.data(), destination.data(), part * sizeof(float)});
      const float* result = scope.as<float>(destination.data());
      results_.insert(results_.end(), result, result + to);
    });
  }
  std::vector<float> results() { return std::move(results_); }

 private:
  runtime::Collective& collective_;
  const int rank_;
  const std::unique_ptr<device::Device> device_;
  std::vector<float> results_;
};

}  // namespace

std::uint64_t largest_part() { return *std::max_element(kPartFloats.begin(), kPartFloats.end()) * sizeof(float); }

std::vector<float> results_of(runtime::Collective& collective, int rank) {
  Work work(collective, rank);
  for (std::size_t call = 0; call < kPartFloats.size(); ++call) {
    work.make(schedule::Op::all_gather, call, kPartFloats[call]);
    work.make(schedule::Op::reduce_scatter, call, kPartFloats[call]);
  }
  return work.results();
}

}  // namespace gsnake::dist::test
