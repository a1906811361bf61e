#include "generate/generating.h"

#include <random>

#include "device/async_device.h"

namespace gsnake::test {

std::vector<std::int64_t> random_prompt(std::int64_t tokens, std::int64_t vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int64_t> prompt;
  for (std::int64_t i = 0; i < tokens; ++i) prompt.push_back(static_cast<std::int64_t>(random() % static_cast<unsigned>(vocab)));
  return prompt;
}

TokenLists three_prompts(std::int64_t vocab) { return {random_prompt(1, vocab, 1), random_prompt(9, vocab, 2), random_prompt(37, vocab, 3)}; }

GeneratingRun::GeneratingRun(const Config& given, Model model) : config(given) {
  config.optimizer.learning_rate = 2e-2;
  const Model again = model;
  Trainer trainer(std::move(model), config);
  for (const Batch& batch : random_batches(6, config.train.micro_batches, config.model.vocab)) trainer.step(batch);
  trainer.commit();
  reference.emplace(again, config, trainer);
}

GenerateOptions greedy(std::int64_t tokens, bool drafts) {
  GenerateOptions options;
  options.sampling.temperature = 0.0;
  options.tokens = tokens;
  options.drafts = drafts;
  return options;
}

TokenLists tokens_of(const std::vector<GeneratedText>& texts) {
  TokenLists tokens;
  for (const GeneratedText& text : texts) tokens.push_back(text.tokens);
  return tokens;
}

namespace {

// What the tiers hold beside weights, keys and values; what these two take.
struct Needs {
  std::uint64_t device = 0;
  std::uint64_t host = 0;
  std::uint64_t weights = 0;
  std::uint64_t cache = 0;
};

Needs needs_of(const Config& config, bool on_async) {
  Budgets ample;
  ample.on_async = on_async;
  generate::TextGenerator generator(engine_of(config, ample));
  generator.generate(three_prompts(config.model.vocab), greedy(20));
  Needs needs;
  for (const MemoryItem& item : generator.engine().memory()) {
    const bool on_device = item.tier == "device";
    if (item.name == "buffers for reads and ids") needs.host -= 6 * kMiB;  // 8 of ample budgets, 2 of small ones
    (item.name == "weights that stay" ? needs.weights : item.name == "keys and values" ? needs.cache : on_device ? needs.device : needs.host) += item.bytes;
  }
  return needs;
}

}  // namespace

// A little less than half of the weights fits into slots or stays.
Budgets on_the_drive(const Config& config) {
  const Needs needs = needs_of(config, false);
  return {"on the drive", needs.device + needs.weights * 7 / 10, needs.host + needs.cache, true, false};
}

std::vector<Budgets> all_budgets(const Config& config) {
  const Needs needs = needs_of(config, true);
  const Budgets drive = on_the_drive(config);
  return {{"all on the device", drive.device + needs.weights + needs.cache, drive.host},
          {"most of it on the host", drive.device, 512 * kMiB},
          drive,
          {"a device of its own", 512 * kMiB, 512 * kMiB, false, true},
          {"copied from the host", needs.device + needs.weights * 7 / 10, 512 * kMiB, false, true},
          {"read to a device of its own", needs.device + needs.weights * 7 / 10, needs.host + needs.cache, true, true}};
}

std::unique_ptr<generate::Engine> engine_of(const Config& config, const Budgets& budgets) {
  ModelOptions options;
  options.device_budget = budgets.device;
  options.host_budget = budgets.host;
  options.context = kContext;
  train::Parts parts;
  if (budgets.on_async) parts.make_device = [](const Config&) { return train::ComputeDevice{std::make_unique<device::AsyncDevice>(), nullptr}; };
  return generate::Engine::of_run(std::nullopt, config.run.dir, options, parts);
}

}  // namespace gsnake::test
