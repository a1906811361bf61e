// One rank of a run on GPUs: cuda_rank TIMEOUT train SETTING. Says "joined", then its losses and weights, exact, and what it asked of CUDA. An error is its last line.
#include <dlfcn.h>
#include <greedysnake/greedysnake.h>
#include <spdlog/spdlog.h>

#include <cinttypes>
#include <cstdio>
#include <random>

#include "cuda/ranks/setting.h"
#include "fake/control.h"
#include "gpu/fake_gpu.h"
#include "greedysnake/ranks.h"
#include "model/fused.h"
#include "rank_program.h"
#include "train/parts.h"
#include "train/waiting_calls.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 6;  // for 2 and 3 ranks
constexpr std::int64_t kTokens = 16;
constexpr std::int64_t kVocab = 300;
constexpr std::size_t kAlignments = 16384;  // of a few allocations

Config config_of(const RankSetting& setting, double timeout) {
  Config config;
  config.model.family = ModelFamily::llama;
  config.model.layers = 3;
  config.model.hidden = 64;
  config.model.heads = 4;
  config.model.vocab = kVocab;
  config.model.context = 32;
  config.train.micro_batches = kMicroBatches;
  config.train.sequence_length = kTokens;
  config.train.dtype = Dtype::fp32;
  config.train.compute_threads = 1;
  config.memory.device = setting.device;
  config.memory.device_budget = config.memory.host_budget = 64ULL << 20U;
  config.ssd.paths = {setting.folder + "/ssd"};
  config.run.dir = setting.folder + "/run";
  config.ranks = ranks_of_environment({});
  config.ranks.timeout = timeout;
  // All on drives; all delayed and in host memory; horizontal, and a third of everything on the device.
  if (setting.layout == 1) {
    config.train.delay = 1.0;
    config.placement.weights = config.placement.optimizer = config.placement.activations = {0, 1};
    config.placement.gradients = {0.0, 1.0, false};
  } else if (setting.layout == 2) {
    config.train.schedule = Schedule::horizontal;
    config.train.order = MicroBatchOrder::ascending;
    config.placement.weights = config.placement.optimizer = config.placement.activations = {1.0 / 3, 1.0 / 3};
  }
  return config;
}

Batch batch_of(std::int64_t step) {
  Batch batch;
  std::mt19937 random(static_cast<unsigned>(step));
  for (std::int64_t i = 0; i < kMicroBatches * kTokens; ++i) {
    batch.inputs.push_back(static_cast<std::int64_t>(random() % kVocab));
    batch.labels.push_back(static_cast<std::int64_t>(random() % kVocab));
  }
  return batch;
}

// The plug-in's kernels are a GPU's machine code, which nothing runs here: LibTorch's operators, which the fake GPU has.
train::ComputeDevice late_device(const Config& config, const RankSetting& setting) {
  const FakeCudaDelays delays{setting.seed, setting.seed == 0 ? 0U : 12U, 400, setting.seed % 2 == 0 ? 1U : 20U};
  fake_cuda_set_delays(&delays);
  train::ComputeDevice made = train::open_device(config);
  model::set_fused_ops(nullptr);
  made.device = mutated(std::move(made.device), kMutations.at(setting.mutation));
  return made;
}

TrainerOptions options_of(const RankSetting& setting) {
  TrainerOptions options;
  if (setting.device == "cpu") return options;
  fake_gpu::install();
  train::Parts parts;
  parts.make_device = [setting](const Config& config) { return late_device(config, setting); };
  options.parts = std::make_shared<const train::Parts>(std::move(parts));
  return options;
}

// FNV-1a of their bytes.
std::uint64_t hash_of(const std::vector<float>& values) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * sizeof(float); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
  return hash;
}

void say_result(const StepResult& result) {
  char line[128];
  std::snprintf(line, sizeof line, "loss %a norm %a", result.loss, result.grad_norm);
  say(line);
}

void say_weights(Trainer& trainer, std::int64_t units) {
  for (std::int64_t unit = 0; unit < units; ++unit) {
    char line[64];
    std::snprintf(line, sizeof line, "weights %016" PRIx64, hash_of(trainer.weights(unit)));
    say(line);
  }
}

// Beside the run's results, which are the same on every device.
void say_asked(const std::map<std::string, long>& before, std::size_t live_before, const Trainer& trainer) {
  for (const auto& [call, count] : waiting_calls()) {
    if (count != before.at(call)) say("asked: " + call + " " + std::to_string(count - before.at(call)) + " times");
  }
  if (fake_cuda_live_bytes() - live_before > trainer.report().device_bytes + kAlignments) say("asked: more device memory than the budget was charged with");
  if (fake_cuda_reports() != 0) say("asked: what is misuse of CUDA");
  const auto launched = reinterpret_cast<long (*)()>(::dlsym(RTLD_DEFAULT, "fake_nccl_launched"));
  if (launched == nullptr || launched() == 0) say("asked: nothing of NCCL");
}

void train(const RankSetting& setting, double timeout) {
  const Config config = config_of(setting, timeout);
  const TrainerOptions options = options_of(setting);
  const std::size_t live = fake_cuda_live_bytes();
  Trainer trainer(models::make(config.model), config, options);
  say("joined");
  const std::map<std::string, long> before = waiting_calls();
  for (std::int64_t step = 0; step < setting.steps; ++step) say_result(trainer.step(batch_of(step)));
  if (setting.device != "cpu") say_asked(before, live, trainer);
  trainer.commit();
  say_weights(trainer, config.model.layers + 2);
}

int rank_program(const std::vector<std::string>& arguments) {
  spdlog::set_level(spdlog::level::warn);  // what is said beside is not compared
  return as_rank([&] { train(read_setting(arguments.at(2)), std::stod(arguments.at(0))); });
}

}  // namespace
}  // namespace gsnake::test

int main(int count, char** arguments) { return gsnake::test::rank_program({arguments + 1, arguments + count}); }
