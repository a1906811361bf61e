#include "optim/formats.h"

#include "greedysnake/error.h"
#include "optim/bits.h"
#include "optim/kernels.h"

namespace gsnake::optim {

std::uint64_t weight_bytes(WeightFormat format) { return format == WeightFormat::fp32 ? 4 : 2; }

std::uint64_t master_bytes(WeightFormat format) { return format == WeightFormat::fp32 ? 0 : format == WeightFormat::bf16 ? 2 : 4; }

std::uint64_t moment_bytes(MomentFormat format) { return format == MomentFormat::fp32 ? 4 : 2; }

void split_master(std::span<const float> master, std::span<std::uint16_t> weight, std::span<std::int16_t> remainder, Target target) {
  check_sizes(weight.size() == master.size() && remainder.size() == master.size(), "split_master");
  kernels_for(target).split_master(master.data(), weight.data(), remainder.data(), master.size());
}

void join_master(std::span<const std::uint16_t> weight, std::span<const std::int16_t> remainder, std::span<float> master, Target target) {
  check_sizes(weight.size() == master.size() && remainder.size() == master.size(), "join_master");
  kernels_for(target).join_master(weight.data(), remainder.data(), master.data(), master.size());
}

void to_fp16(std::span<const float> master, std::span<std::uint16_t> weight, Target target) {
  check_sizes(weight.size() == master.size(), "to_fp16");
  kernels_for(target).to_fp16(master.data(), weight.data(), master.size());
}

void widen(WeightFormat format, std::span<const std::uint16_t> weight, std::span<float> wide, Target target) {
  check_sizes(weight.size() == wide.size(), "widen");
  if (format == WeightFormat::fp32) throw Error(ErrorKind::usage, "widen: fp32 weights are wide already; pass bf16 or fp16 ones");
  const Kernels& kernels = kernels_for(target);
  const auto widen = format == WeightFormat::bf16 ? kernels.widen_bf16 : kernels.widen_fp16;
  widen(weight.data(), wide.data(), wide.size());
}

bool storable(WeightFormat format, std::span<const float> master) {
  std::uint32_t greatest = 0;
  for (const float value : master) greatest = std::max(greatest, std::bit_cast<std::uint32_t>(value) & kMagnitude);
  return greatest < unstorable_magnitude(format);
}

}  // namespace gsnake::optim
