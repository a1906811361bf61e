#include "runtime/toy_objects.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <span>

#include "core/bytes.h"
#include "optim/formats.h"

namespace gsnake::runtime::test {
namespace {

constexpr std::uint64_t kBlock = 64;        // elements of packed weights
constexpr std::uint64_t kBlockBytes = 512;  // so that objects of few elements have several of a base's blocks

class Values {
 public:
  explicit Values(std::uint64_t seed) : random_(seed) {}
  float next() { return static_cast<float>(random_() % 20001) / 10000.0F - 1.0F; }

 private:
  std::mt19937_64 random_;
};

void fill_packed(ToyObject& object, std::uint64_t elements, Values& values) {
  for (std::uint64_t block = 0; block * kBlock < elements; ++block) {
    std::byte* out = object.weights.data() + block * kBlockBytes;
    const float scale = 0.01F * (1.5F + values.next());
    std::memcpy(out, &scale, sizeof(scale));
    for (std::uint64_t i = sizeof(scale); i < kBlockBytes; ++i) out[i] = static_cast<std::byte>(static_cast<std::int8_t>(100.0F * values.next()));
  }
}

// Weights and, of bf16 and fp16 that are trained, what the master has beside them.
void fill_weights(ToyObject& stored, const schedule::Object& object, Values& values) {
  std::vector<float> master(object.cells(), 0.0F);
  std::generate_n(master.begin(), object.elements, [&] { return values.next(); });
  const std::span half(reinterpret_cast<std::uint16_t*>(stored.weights.data()), object.weight_bytes == 2 ? object.cells() : 0);
  std::vector<std::int16_t> remainder(half.size());
  switch (format_of(object)) {
    case optim::WeightFormat::fp32:
      std::memcpy(stored.weights.data(), master.data(), stored.weights.size());
      return;
    case optim::WeightFormat::bf16:
      optim::split_master(master, half, remainder);
      if (object.master) std::memcpy(stored.states[0].data(), remainder.data(), stored.states[0].size());
      return;
    case optim::WeightFormat::fp16:
      optim::to_fp16(master, half);
      std::memcpy(stored.states[0].data(), master.data(), stored.states[0].size());
      return;
  }
}

void fill_moments(ToyObject& stored, const schedule::Object& object, Values& values) {
  for (std::size_t k = object.master ? 1 : 0; k < stored.states.size(); ++k) {
    const std::size_t width = object.state_bytes[k];
    for (std::uint64_t i = 0; i < object.elements; ++i) {
      const float moment = 1e-4F * (values.next() + 1.0F);
      std::memcpy(stored.states[k].data() + i * width, reinterpret_cast<const std::byte*>(&moment) + (sizeof(float) - width), width);
    }
  }
}

}  // namespace

void set_format(schedule::Object& object, const optim::OptimizerSpec& spec) {
  object.trained = true;
  object.weight_bytes = optim::weight_bytes(spec.weights);
  object.state_bytes = optim::make_optimizer(spec)->state_bytes();
  object.master = spec.weights != optim::WeightFormat::fp32;
  object.weights_derived = spec.weights == optim::WeightFormat::fp16;
  if (object.master) object.state_bytes.insert(object.state_bytes.begin(), optim::master_bytes(spec.weights));
}

optim::WeightFormat format_of(const schedule::Object& object) {
  if (object.weight_bytes == sizeof(float)) return optim::WeightFormat::fp32;
  return object.weights_derived ? optim::WeightFormat::fp16 : optim::WeightFormat::bf16;
}

std::uint64_t toy_packed_bytes(std::uint64_t elements) { return core::ceil_div(elements, kBlock) * kBlockBytes; }

void widen(const schedule::Object& object, const std::byte* weights, float* wide) {
  if (!object.packed()) {
    if (object.weight_bytes == sizeof(float)) {
      std::memcpy(wide, weights, object.elements * sizeof(float));
    } else {
      optim::widen(format_of(object), {reinterpret_cast<const std::uint16_t*>(weights), object.elements}, {wide, object.elements});
    }
    return;
  }
  for (std::uint64_t i = 0; i < object.elements; ++i) {
    const std::byte* block = weights + i / kBlock * kBlockBytes;
    float scale = 0.0F;
    std::memcpy(&scale, block, sizeof(scale));
    wide[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[sizeof(scale) + i % kBlock]));
  }
}

std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed) {
  Values values(seed);
  std::vector<ToyObject> objects;
  for (const schedule::Object& object : problem.objects) {
    ToyObject& stored = objects.emplace_back();
    stored.weights.resize(object.cells() * object.cell_bytes());
    for (std::uint64_t width : object.state_bytes) stored.states.emplace_back(object.cells() * width);
    object.packed() ? fill_packed(stored, object.elements, values) : fill_weights(stored, object, values);
    fill_moments(stored, object, values);
  }
  return objects;
}

std::vector<std::vector<optim::DecayRun>> decay_runs(const schedule::Problem& problem) {
  std::vector<std::vector<optim::DecayRun>> runs;
  for (const schedule::Object& object : problem.objects) runs.push_back({{0, object.elements / 2, true}, {object.elements / 2, object.elements, false}});
  return runs;
}

ToyOptimizers::ToyOptimizers(const schedule::Problem& problem, const optim::OptimizerSpec& spec, optim::Target target) {
  for (const schedule::Object& object : problem.objects) {
    by_object_.push_back(nullptr);
    if (!object.trained) continue;
    optim::OptimizerSpec own = spec;
    own.weights = format_of(object);
    std::unique_ptr<optim::Optimizer>& made = made_[own.weights];
    if (!made) made = optim::make_optimizer(own, target);
    by_object_.back() = made.get();
  }
}

}  // namespace gsnake::runtime::test
