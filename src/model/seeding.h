// Seeds of a device's default generator, derived from where in the run a unit is.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace gsnake::model {

// The four numbers mixed into one: well spread, and different for any change of any of them (up to 64-bit collisions).
std::uint64_t mix_seed(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch) noexcept;

// Seeds the device's default generator with mix_seed(). Called before every forward and recomputation of a unit in training; once for the head's
// visit of a micro-batch, not once per chunk. Steps count from 1. The generator is global: one thread at a time may seed and draw.
void seed_unit(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch, c10::Device device = c10::kCPU);

// As seed_unit() on the CPU with step 0 and micro-batch 0, which no training step uses: before a unit's parameters are initialized.
void seed_initialization(std::uint64_t seed, std::uint64_t unit);
// Likewise before its adapters are: their start does not depend on where the rest comes from.
void seed_adapters(std::uint64_t seed, std::uint64_t unit);

}  // namespace gsnake::model
