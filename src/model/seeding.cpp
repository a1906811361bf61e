#include "model/seeding.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <mutex>

namespace gsnake::model {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) after one step of its counter.
std::uint64_t split_mix(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

}  // namespace

namespace {

// Not torch::manual_seed(): that one asks whether there is CUDA, and the answer is cached before the plug-in is open.
at::Generator generator_of(c10::Device device) { return device.is_cpu() ? at::detail::getDefaultCPUGenerator() : at::globalContext().defaultGenerator(device); }

std::mutex in_use;

}  // namespace

ProgramsTurn::ProgramsTurn() : lock_(in_use) {}

RandomScope::RandomScope(c10::Device device) : lock_(in_use), generator_(generator_of(device)), restores_(device.is_cpu()) {
  if (!restores_) return;
  const std::lock_guard<std::mutex> lock(generator_.mutex());
  auto* own = at::check_generator<at::CPUGeneratorImpl>(generator_);
  engine_ = own->engine();
  next_float_ = own->next_float_normal_sample();
  next_double_ = own->next_double_normal_sample();
}

RandomScope::~RandomScope() {
  if (!restores_) return;
  const std::lock_guard<std::mutex> lock(generator_.mutex());
  auto* own = at::check_generator<at::CPUGeneratorImpl>(generator_);
  own->set_engine(engine_);
  own->set_next_float_normal_sample(next_float_);
  own->set_next_double_normal_sample(next_double_);
}

std::uint64_t mix_seed(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch) noexcept {
  return split_mix(split_mix(split_mix(split_mix(seed) ^ step) ^ unit) ^ micro_batch);
}

void seed_unit(std::uint64_t seed, std::uint64_t step, std::uint64_t unit, std::uint64_t micro_batch, c10::Device device) {
  at::Generator generator = generator_of(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(mix_seed(seed, step, unit, micro_batch));
}

void seed_initialization(std::uint64_t seed, std::uint64_t unit) { seed_unit(seed, 0, unit, 0); }
void seed_adapters(std::uint64_t seed, std::uint64_t unit) { seed_unit(seed, 0, unit, 1); }

}  // namespace gsnake::model
