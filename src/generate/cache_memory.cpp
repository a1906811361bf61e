#include "generate/cache_memory.h"

#include <algorithm>
#include <numeric>

#include "core/bytes.h"
#include "model/binding.h"

namespace gsnake::generate {

std::uint64_t CacheShape::bytes(std::size_t unit) const {
  constexpr std::uint64_t kPage = 4096;
  const auto tokens = static_cast<std::uint64_t>(std::accumulate(capacities.begin(), capacities.end(), std::int64_t{0}));
  return core::round_up(tokens * static_cast<std::uint64_t>(numbers[unit]) * c10::elementSize(dtype), kPage);
}

CacheMemory::CacheMemory(CacheShape shape, const std::vector<Tier>& tiers, device::Device& device, bool on_host)
    : shape_(std::move(shape)), device_(device), first_token_(shape_.capacities.size()), resident_(shape_.numbers.size()), kept_(shape_.numbers.size()) {
  std::exclusive_scan(shape_.capacities.begin(), shape_.capacities.end(), first_token_.begin(), std::int64_t{0});
  std::uint64_t visiting = 0;
  for (std::size_t unit = 0; unit < shape_.numbers.size(); ++unit) {
    if (on_host || tiers[unit] == Tier::device) {
      resident_[unit] = device.device_alloc(shape_.bytes(unit));
    } else {
      kept_[unit] = device.host_alloc(shape_.bytes(unit));
      visiting = std::max(visiting, shape_.bytes(unit));
    }
  }
  visiting_ = device.device_alloc(visiting);
}

device::DevicePtr CacheMemory::place(int unit) const {
  const device::DevicePtr resident = resident_[static_cast<std::size_t>(unit)].data();
  return resident ? resident : visiting_.data();
}

void CacheMemory::bring(int unit, std::span<const TextGrowth> growth) {
  const device::HostPtr kept = kept_[static_cast<std::size_t>(unit)].data();
  if (!kept) return;
  for (const TextGrowth& text : growth) {
    const std::uint64_t from = offset(unit, text.text);
    const std::uint64_t bytes = static_cast<std::uint64_t>(text.before) * row_bytes(unit);
    if (bytes > 0) device_.stream(device::StreamKind::compute).copy(visiting_.data() + from, kept + from, bytes);
  }
}

void CacheMemory::take_back(int unit, std::span<const TextGrowth> growth) {
  const device::HostPtr kept = kept_[static_cast<std::size_t>(unit)].data();
  if (!kept) return;
  for (const TextGrowth& text : growth) {
    const std::uint64_t from = offset(unit, text.text) + static_cast<std::uint64_t>(text.before) * row_bytes(unit);
    device_.stream(device::StreamKind::compute).copy(kept + from, visiting_.data() + from, static_cast<std::uint64_t>(text.after - text.before) * row_bytes(unit));
  }
}

torch::Tensor CacheMemory::of(const device::ComputeScope& scope, int unit, int text) const {
  const auto u = static_cast<std::size_t>(unit);
  return model::over(scope.address(place(unit) + offset(unit, text)), {shape_.capacities[static_cast<std::size_t>(text)], shape_.numbers[u]}, shape_.dtype, shape_.place);
}

}  // namespace gsnake::generate
