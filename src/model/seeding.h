// Seeds of a device's default generator, derived from where in the run a unit is.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/MT19937RNGEngine.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <mutex>
#include <optional>

namespace gsnake::model {

// The four numbers mixed into one: well spread, and different for any change of any of them (up to 64-bit collisions).
std::uint64_t mix_seed(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch) noexcept;

// The device's default generator is the whole process's. While this lives it is this thread's: other threads' scopes wait, and in the end the CPU's stands where
// it stood (a GPU's stays as it was seeded last). (Code that draws without a scope, on another thread, is the program's to keep apart.)
class RandomScope {
 public:
  explicit RandomScope(c10::Device device = c10::kCPU);
  ~RandomScope();
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  at::Generator generator_;
  bool restores_;
  // All that the CPU's is, kept here, so that no memory is asked for.
  at::mt19937 engine_;
  std::optional<float> next_float_;
  std::optional<double> next_double_;
};

// While this lives, no RandomScope is anybody else's: the program's own code may draw. What it draws counts.
class ProgramsTurn {
 public:
  ProgramsTurn();

 private:
  std::unique_lock<std::mutex> lock_;
};

// Seeds the device's default generator with mix_seed(). Called before every forward and recomputation of a unit in training; once for the head's
// visit of a micro-batch, not once per chunk. Steps count from 1. Within a RandomScope.
void seed_unit(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch, c10::Device device = c10::kCPU);

// As seed_unit() on the CPU with step 0 and micro-batch 0, which no training step uses: before a unit's parameters are initialized.
void seed_initialization(std::uint64_t seed, std::uint64_t unit);
// Likewise before its adapters are: their start does not depend on where the rest comes from.
void seed_adapters(std::uint64_t seed, std::uint64_t unit);

}  // namespace gsnake::model
