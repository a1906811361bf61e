// Machines for plans, made up.
#pragma once

#include <cmath>

#include "plan/planner/planner.h"
#include "plan/shapes.h"
#include "schedule/support.h"

namespace gsnake::plan::test {

using schedule::test::Random;

// A GPU with one drive, as one may have it on a desk.
inline sim::MachineProfile workstation() {
  sim::MachineProfile p;
  p.name = "workstation";
  p.cpu = {"cpu", 16.0, 100e9, 64ULL << 30};
  p.compute.device = "gpu";
  p.compute.latency = 20e-6;
  p.compute.rates = {{"fp32", 2e13, 500.0}, {"bf16", 6e13, 500.0}};
  p.h2d = {20e9, 10e-6, {0.0, 1.0}};
  p.d2h = {20e9, 10e-6, {0.0, 1.0}};
  p.optimizer.threads = 8;
  p.optimizer.rates = {{"fp32", 8e9}, {"bf16", 8e9}};
  p.optimizer.share = {1.0, 1.0};
  p.ssds = {{"", "drive", {{1.0, 1.5e9}, {4.0, 4e9}, {16.0, 6e9}}, {{1.0, 1.5e9}, {4.0, 4e9}}, 1.4, 600.0}};
  p.ssd_share = {0.2, 1.0};
  p.ssd_latency = 80e-6;
  p.commit_latency = 2e-3;
  return p;
}

// Of such speeds that any lane may be the slowest of a small model's.
inline sim::MachineProfile random_machine(Random& random) {
  const auto about = [&](double rate) { return rate * std::exp2(random.between(-2, 2)); };
  sim::MachineProfile p;
  p.name = "random";
  p.cpu = {"cpu", random.one_of<double>({0.0, 4.0, 16.0}), random.coin() ? 0.0 : about(2e10), 0};
  p.compute.rates = {{"fp32", about(5e11), 100.0}, {"bf16", about(1e12), 100.0}};
  p.compute.latency = 2e-5;
  p.compute.share = {2.0, 1e9};
  p.h2d = {about(5e9), 1e-5, {0.0, 1.0}};
  p.d2h = {about(5e9), 1e-5, {0.0, 1.0}};
  p.optimizer.threads = random.between(1, 4);
  p.optimizer.rates = {{"fp32", about(2e9)}, {"bf16", about(2e9)}, {"fp16", about(2e9)}};
  p.optimizer.share = {1.0, 1.0};
  const double read = about(1e9);
  const double write = about(7e8);
  p.ssds = {{"", "drive", {{1.0, read / 4.0}, {16.0, read}}, {{1.0, write / 3.0}, {8.0, write}}, 1.0 + random.fraction(), 0.0}};
  p.ssd_share = {0.1, 1.0};
  p.ssd_latency = 1e-4;
  p.commit_latency = 1e-3;
  return p;
}

// A small model and a config that leaves most to the planner, with budgets between what it needs and what it could use.
struct Case {
  ModelLayout layout;
  PlannerInput input;

  // input.setting borrows the layout
  Case() = default;
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  void set_model(const Config& config) {
    layout = gpt2_layout(config.model);
    for (UnitShape& shape : layout.shapes) shape.forward_flops_per_token = 2.0 * static_cast<double>(shape.flat.elements);
    input.config = config;
    input.setting.layout = &layout;
    input.setting.native = {true, true};
  }
};

inline Config small_config(Random& random) {
  Config config = Config::automatic();
  config.model.layers = random.between(1, 5);
  config.model.hidden = 64 * random.between(1, 6);
  config.model.vocab = random.between(200, 4000);
  config.model.tie_embeddings = random.coin();
  config.train.micro_batches = random.one_of<int>({1, 2, 4, 8});
  config.train.micro_batch_size = random.between(1, 4);
  config.train.sequence_length = 128 * random.between(1, 2);
  config.train.dtype = random.one_of<Dtype>({Dtype::fp32, Dtype::bf16});
  if (random.below(4) == 0) config.train.schedule = Schedule::horizontal;
  if (random.coin()) config.run.durability = Durability::off;
  if (random.below(8) == 0) config.optimizer.gradient_clipping = 1.0;
  config.memory.device = random.below(3) == 0 ? "cpu" : "cuda:0";
  if (random.coin()) config.placement.weights = {0.0, random.one_of<double>({0.0, 0.5})};
  if (random.coin()) config.placement.activations = {0.0, random.one_of<double>({0.0, 1.0})};
  if (random.below(3) == 0) config.placement.gradients = {0.0, random.one_of<double>({0.0, 1.0})};
  if (random.below(3) == 0) config.placement.optimizer = {0.0, random.one_of<double>({0.0, 0.5})};
  return config;
}

// What is "auto" on SSD, or all of it in host memory.
inline Config placed(Config config, double host) {
  PlacementConfig& p = config.placement;
  for (TierFractions* tiers : {&p.weights, &p.optimizer, &p.activations, &p.gradients}) {
    if (tiers->automatic) *tiers = {0.0, host};
  }
  return config;
}

inline void set_free_memory(PlannerInput& input, Random& random) {
  constexpr std::uint64_t kMiB = 1ULL << 20;
  const auto lean = requirements(placed(input.config, 0.0), input.setting);
  const auto all = requirements(placed(input.config, 1.0), input.setting);
  const std::uint64_t least = bytes_of(lean, "host");
  const auto more = static_cast<double>(std::max(least, bytes_of(all, "host")) - least);
  const std::uint64_t device = bytes_of(lean, "device");
  input.free_host_bytes = least + 2 * kMiB + static_cast<std::uint64_t>(1.2 * more * random.fraction());
  input.free_device_bytes = device + 2 * kMiB + (random.coin() ? 0 : static_cast<std::uint64_t>(more * random.fraction()));
  if (input.config.memory.device == "cpu") input.free_host_bytes += device;
}

inline void draw(Case& made, std::uint64_t seed) {
  Random random(seed);
  made.set_model(small_config(random));
  made.input.profile = random_machine(random);
  made.input.advises = false;
  set_free_memory(made.input, random);
}

}  // namespace gsnake::plan::test
