// Keys and values of texts in memory, unit by unit.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "generate/weight_feed.h"

namespace gsnake::generate {

// What a cache is for.
struct CacheShape {
  std::vector<std::int64_t> numbers;     // of a token, by unit; 0: the unit keeps none
  std::vector<std::int64_t> capacities;  // tokens, by text
  at::ScalarType dtype = torch::kFloat32;
  c10::Device place = c10::kCPU;  // of tensors on the device

  [[nodiscard]] std::uint64_t bytes(std::size_t unit) const;
};

// So many of a text's tokens are kept before a pass, and after it.
struct TextGrowth {
  int text = 0;
  std::int64_t before = 0;
  std::int64_t after = 0;
};

class CacheMemory {
 public:
  // tiers: by unit, device or host. on_host: the device's memory is the host's. Device is borrowed. Throws Error(budget).
  CacheMemory(CacheShape shape, const std::vector<Tier>& tiers, device::Device& device, bool on_host);
  [[nodiscard]] const CacheShape& shape() const { return shape_; }

  // On the compute stream: before a unit is computed, and after. growth stays until that stream is done with it.
  void bring(int unit, std::span<const TextGrowth> growth);
  void take_back(int unit, std::span<const TextGrowth> growth);
  // (capacity, numbers) of a text, in between, where computation looks at it.
  [[nodiscard]] torch::Tensor of(const device::ComputeScope& scope, int unit, int text) const;

 private:
  [[nodiscard]] std::uint64_t row_bytes(int unit) const { return static_cast<std::uint64_t>(shape_.numbers[static_cast<std::size_t>(unit)]) * c10::elementSize(shape_.dtype); }
  [[nodiscard]] std::uint64_t offset(int unit, int text) const { return static_cast<std::uint64_t>(first_token_[static_cast<std::size_t>(text)]) * row_bytes(unit); }
  [[nodiscard]] device::DevicePtr place(int unit) const;

  CacheShape shape_;
  device::Device& device_;
  std::vector<std::int64_t> first_token_;       // by text: tokens of those before
  std::vector<device::DeviceMemory> resident_;  // by unit
  std::vector<device::HostMemory> kept_;        // likewise: to be copied at each visit
  device::DeviceMemory visiting_;               // of the unit that is computed
};

}  // namespace gsnake::generate
