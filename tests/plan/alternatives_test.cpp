// What is named instead of a budget fits, and nothing nearer to the config does.
#include "plan/alternatives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "memory/budget.h"
#include "plan/run_plan.h"
#include "plan/shapes.h"

namespace gsnake::plan {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1ULL << 20;

Config small_config() {
  Config config;
  config.model.layers = 6;
  config.model.hidden = 128;
  config.model.vocab = 2000;
  config.train.micro_batches = 4;
  config.train.micro_batch_size = 8;
  config.train.sequence_length = 64;
  config.train.delay = 1.0;
  config.memory = {"cpu", 64 * kMiB, 64 * kMiB};
  return config;
}

Config with(const Config& config, const std::string& key, const std::string& value) {
  Config changed = config;
  const Config parsed = Config::parse("", ".", {"placement.activations.host=0", key + "=" + value});  // as the command reads it
  const std::map<std::string, std::function<void()>> setters{
      {"placement.gradients.host", [&] { changed.placement.gradients.host = parsed.placement.gradients.host; }},
      {"placement.activations.host", [&] { changed.placement.activations.host = parsed.placement.activations.host; }},
      {"placement.activations.device", [&] { changed.placement.activations.device = parsed.placement.activations.device; }},
      {"placement.weights.host", [&] { changed.placement.weights.host = parsed.placement.weights.host; }},
      {"placement.weights.device", [&] { changed.placement.weights.device = parsed.placement.weights.device; }},
      {"placement.optimizer.host", [&] { changed.placement.optimizer.host = parsed.placement.optimizer.host; }},
      {"placement.optimizer.device", [&] { changed.placement.optimizer.device = parsed.placement.optimizer.device; }},
      {"train.delay", [&] { changed.train.delay = parsed.train.delay; }},
      {"train.micro_batches", [&] { changed.train.micro_batches = parsed.train.micro_batches; }},
      {"train.micro_batch_size", [&] { changed.train.micro_batch_size = parsed.train.micro_batch_size; }},
      {"train.sequence_length", [&] { changed.train.sequence_length = parsed.train.sequence_length; }},
      {"train.head_chunk", [&] { changed.train.head_chunk = parsed.train.head_chunk; }},
      {"run.snapshot_every", [&] { changed.run.snapshot_every = parsed.run.snapshot_every; }}};
  setters.at(key)();
  return changed;
}

std::string refusal(const Config& config, const Setting& setting) {
  try {
    refuse_what_does_not_fit(config, setting);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget);
    return error.what();
  }
  return {};
}

// Each alternative as it is written fits; one step nearer to what the config says does not.
void expect_nearest(const Config& config, const Setting& setting, const std::vector<std::string>& keys) {
  ASSERT_GT(overshoot(config, setting), 0.0);
  std::vector<std::string> found;
  const std::string text = refusal(config, setting);
  for (const Alternative& other : alternatives(config, setting)) {
    SCOPED_TRACE(other.key + " = " + other.value);
    found.push_back(other.key);
    EXPECT_LE(overshoot(with(config, other.key, other.value), setting), 0.0);
    if (other.key == "run.snapshot_every") continue;
    const bool fraction = other.key.starts_with("placement") || other.key == "train.delay";
    const double nearer = std::stod(other.value) + (fraction ? 0.01 : 1.0);
    const Config almost = with(config, other.key, fraction ? std::to_string(nearer) : std::to_string(std::lround(nearer)));
    EXPECT_GT(overshoot(almost, setting), 0.0);
    EXPECT_THAT(text, HasSubstr("  " + other.key + " = " + other.value + (other.changes_maths ? "  (changes the maths)\n" : "\n")));
  }
  for (const std::string& key : keys) EXPECT_THAT(found, testing::Contains(key));
}

TEST(Alternatives, OfGradientsThatWaitAreTheirPlacementAndTheDelay) {
  Config config = small_config();
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  config.memory.host_budget = bytes_of(requirements(config, setting), "host") - 3 * kMiB;
  expect_nearest(config, setting, {"placement.gradients.host", "train.delay"});
  EXPECT_THAT(refusal(config, setting), HasSubstr("or one of the keys below the table\n"));
}

TEST(Alternatives, OfCheckpointsInHostMemoryAreTheirPlacementAndSmallerSteps) {
  Config config = small_config();
  config.train.micro_batch_size = 64;
  config.placement.gradients.host = 0.0;
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  config.memory.host_budget = bytes_of(requirements(config, setting), "host") * 2 / 3;
  expect_nearest(config, setting, {"placement.activations.host", "train.micro_batches", "train.micro_batch_size", "train.sequence_length"});
}

TEST(Alternatives, OfTheDeviceAreWhatIsKeptThereAndTheChunkOfTheHead) {
  Config config = small_config();
  config.placement.weights = {0.5, 0.0};
  config.placement.optimizer = {0.25, 0.0};
  config.train.head_chunk = 4096;
  config.train.micro_batch_size = 64;
  const ModelLayout layout = test::gpt2_layout(config.model);
  Setting setting{&layout};
  setting.peaks.of = MeasuredPeaks::Of::fewer_tokens;
  setting.peaks.units = {{{512, 4 * kMiB}}, {{512, 2 * kMiB}, {1024, 3 * kMiB}, {4096, 9 * kMiB}}};
  setting.peaks.head = {{64, 2 * kMiB}, {512, 9 * kMiB}, {4096, 70 * kMiB}};
  config.memory.device_budget = bytes_of(requirements(config, setting), "device") - kMiB;
  expect_nearest(config, setting, {"placement.weights.device", "placement.optimizer.device", "train.head_chunk"});
}

// What is named can be said: equal shares of a step's micro-batches.
TEST(Alternatives, OfSeveralRanksAreMultiplesOfTheirNumber) {
  Config config = small_config();
  config.train.micro_batch_size = 64;
  config.train.micro_batches = 21;
  config.ranks.count = 3;
  config.placement.gradients.host = 0.0;
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  config.memory.host_budget = bytes_of(requirements(config, setting), "host") * 2 / 3;
  const std::vector<Alternative> others = alternatives(config, setting);
  const auto fewer = std::find_if(others.begin(), others.end(), [](const Alternative& other) { return other.key == "train.micro_batches"; });
  ASSERT_NE(fewer, others.end());
  const std::int64_t count = std::stol(fewer->value);
  EXPECT_EQ(count % 3, 0);
  EXPECT_LE(overshoot(with(config, fewer->key, fewer->value), setting), 0.0);
  EXPECT_GT(overshoot(with(config, fewer->key, std::to_string(count + 3)), setting), 0.0);
}

TEST(Alternatives, OfSnapshotBuffersAreNoSnapshots) {
  Config config = small_config();
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  config.memory.host_budget = bytes_of(requirements(config, setting), "host") + kMiB;  // the buffers have 2 at the least
  config.run.snapshot_every = 5;
  expect_nearest(config, setting, {"run.snapshot_every"});
}

// Where both tiers are too small, no key that relieves one of them is named.
TEST(Alternatives, MakeBothTiersFit) {
  Config config = small_config();
  config.memory.host_budget = kMiB;
  config.memory.device_budget = kMiB;
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  EXPECT_TRUE(alternatives(config, setting).empty());
  const std::string text = refusal(config, setting);
  EXPECT_THAT(text, HasSubstr("host memory: "));
  EXPECT_THAT(text, HasSubstr("; device memory: "));
  EXPECT_THAT(text, HasSubstr(" and memory.device_budget to at least "));
}

// Of a step so long that its needs are extrapolated, and whose activations take turns among tiers in step with its micro-batches, which
// that does not see.
TEST(Alternatives, OfALongStepFitAsTheWholePlanHasIt) {
  Config config = small_config();
  config.model.layers = 24;
  config.train.micro_batches = 48;
  config.train.micro_batch_size = 32;
  config.train.schedule = Schedule::horizontal;
  config.train.delay = 0.0;
  config.placement.activations = {0.25, 0.5};
  const ModelLayout layout = test::gpt2_layout(config.model);
  const Setting setting{&layout};
  ASSERT_TRUE(is_extrapolated(config, setting));
  config.memory.host_budget = 512 * kMiB;
  config.memory.device_budget = bytes_of(requirements(config, setting), "device") * 9 / 10;
  const std::vector<Alternative> others = alternatives(config, setting);
  EXPECT_FALSE(others.empty());
  for (const Alternative& other : others) {
    SCOPED_TRACE(other.key + " = " + other.value);
    const Config changed = with(config, other.key, other.value);
    const auto items = exact_requirements(changed, setting).value();
    EXPECT_LE(bytes_of(items, "host"), changed.memory.host_budget);
    EXPECT_LE(bytes_of(items, "device"), changed.memory.device_budget);
  }
}

// The number behind `key` in a refusal.
std::uint64_t named(const std::string& text, const std::string& key) {
  const std::size_t at = text.find(key + " to at least ") + key.size() + 13;
  return core::parse_bytes(text.substr(at, text.find_first_of(",\n;", at) - at));
}

TEST(Refusal, NamesTheLeastBudgetsAlsoWhereBuffersGrowWithThem) {
  for (const std::int64_t snapshots : {0, 3}) {
    Config config = small_config();
    config.run.snapshot_every = snapshots;
    config.memory.host_budget = 4 * kMiB;
    config.memory.device_budget = 64 * kMiB;
    const ModelLayout layout = test::gpt2_layout(config.model);
    const Setting setting{&layout};
    const std::uint64_t least = named(refusal(config, setting), "memory.host_budget");
    config.memory.host_budget = least;
    EXPECT_EQ(refusal(config, setting), "");
    config.memory.host_budget = least - least / 50;
    EXPECT_NE(refusal(config, setting), "");
  }
}

// A graph of either would take tens of GiB and minutes.
TEST(Refusal, OfTenMillionMicroBatchesOrAMillionLayersBuildsNoGraphOfThem) {
  Config config = small_config();
  config.memory.host_budget = 96 * kMiB;
  config.train.micro_batches = 10'000'000;
  {
    const ModelLayout layout = test::gpt2_layout(config.model);
    const Setting setting{&layout};
    EXPECT_THAT(refusal(config, setting), HasSubstr("task graphs and tables"));
    std::map<std::string, std::string> others;
    for (const Alternative& other : alternatives(config, setting)) others[other.key] = other.value;
    ASSERT_TRUE(others.count("train.micro_batches"));
    const std::int64_t fits = std::stoll(others.at("train.micro_batches"));
    EXPECT_GT(fits, 20);
    EXPECT_LT(fits, 100'000);
    // The exact plan of what was extrapolated.
    config.train.micro_batches = fits;
    const schedule::Problem problem = make_problem(config, numerics_of(config), layout, Purpose::train);
    EXPECT_TRUE(plan_run(config, setting, problem).fits(config.memory));
  }
  config = small_config();
  config.model.layers = 1'000'000;
  const ModelLayout layout = test::gpt2_layout(config.model);
  EXPECT_THAT(refusal(config, {&layout}), HasSubstr("task graphs and tables"));
}

}  // namespace
}  // namespace gsnake::plan
