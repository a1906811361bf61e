// Half precision, clipping, skipped steps: the same bits as in memory, whatever else a run does.
#include "plan/numerics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>

#include "greedysnake/error.h"
#include "model/layout.h"
#include "optim/target.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

using schedule::Guard;
using testing::HasSubstr;

constexpr std::int64_t kSteps = 8;
constexpr std::array kUpdates{1.0, 0.3, 0.0};  // of them, those that the device makes

// Of the guard: what is asked for.
struct Case {
  const char* name;
  Dtype dtype;
  MomentFormat moments;
  bool clips;            // at a norm that some steps are above and some below
  ClippingMode mode;     // of clipping
  OnNonfinite on_nonfinite;
  double delay;          // -1: auto
  Guard guard;           // that comes of it
};

const std::array kCases{
    Case{"fp32_clipped_deferred", Dtype::fp32, MomentFormat::fp32, true, ClippingMode::automatic, OnNonfinite::automatic, -1, Guard::deferred},
    Case{"fp32_clipped_speculative", Dtype::fp32, MomentFormat::fp32, true, ClippingMode::speculative, OnNonfinite::automatic, -1, Guard::speculative},
    Case{"bf16", Dtype::bf16, MomentFormat::fp32, false, ClippingMode::automatic, OnNonfinite::automatic, 0.25, Guard::none},
    Case{"bf16_all_delayed", Dtype::bf16, MomentFormat::bf16, false, ClippingMode::automatic, OnNonfinite::automatic, 1, Guard::none},
    Case{"bf16_clipped_deferred", Dtype::bf16, MomentFormat::fp32, true, ClippingMode::deferred, OnNonfinite::automatic, 1, Guard::deferred},
    Case{"bf16_clipped_speculative", Dtype::bf16, MomentFormat::bf16, true, ClippingMode::automatic, OnNonfinite::skip, 0.7, Guard::speculative},
    Case{"fp16_deferred", Dtype::fp16, MomentFormat::fp32, false, ClippingMode::automatic, OnNonfinite::automatic, -1, Guard::deferred},
    Case{"fp16_clipped_deferred", Dtype::fp16, MomentFormat::bf16, true, ClippingMode::automatic, OnNonfinite::automatic, 1, Guard::deferred},
    Case{"fp16_clipped_speculative", Dtype::fp16, MomentFormat::fp32, true, ClippingMode::speculative, OnNonfinite::automatic, 0.4, Guard::speculative},
};

// What must not matter, and some of the maths, at random.
Config draw(const Case& tested, std::mt19937_64& random, const TempFolder& folder) {
  const auto one_of = [&](auto list) { return *(list.begin() + static_cast<std::ptrdiff_t>(random() % list.size())); };
  Config config = small_config(random() % 2 == 0 ? small_gpt2() : small_llama(), one_of(std::initializer_list<std::int64_t>{1, 2, 3}), folder);
  config.train.dtype = tested.dtype;
  config.train.compute_dtype = one_of(std::initializer_list<ComputeDtype>{ComputeDtype::automatic, ComputeDtype::fp32});
  config.train.on_nonfinite = tested.on_nonfinite;
  config.train.delay = tested.delay;
  config.train.schedule = one_of(std::initializer_list<Schedule>{Schedule::vertical, Schedule::vertical, Schedule::horizontal});
  config.train.order = MicroBatchOrder::ascending;
  if (config.train.schedule == Schedule::vertical) {
    config.train.order = one_of(std::initializer_list<MicroBatchOrder>{MicroBatchOrder::snake, MicroBatchOrder::ascending});
  }
  config.optimizer.name = one_of(std::initializer_list<UpdateRule>{UpdateRule::adamw, UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd});
  config.optimizer.moments = tested.moments;
  config.optimizer.gradient_clipping = tested.clips ? 1.0 : 0.0;  // see clip_some()
  config.optimizer.clipping_mode = tested.mode;
  config.placement.gradients.host = one_of(std::initializer_list<double>{0.0, 0.5, 1.0});
  config.placement.activations = one_of(std::initializer_list<TierFractions>{{0, 0}, {0, 1}, {1.0 / 3, 1.0 / 3}});
  config.run.durability = Durability::commit;
  if (tested.guard == Guard::speculative) return config;
  config.placement.weights = config.placement.optimizer = one_of(std::initializer_list<TierFractions>{{0, 0}, {0, 1}, {1, 0}, {1.0 / 3, 1.0 / 3}});
  config.run.durability = one_of(std::initializer_list<Durability>{Durability::commit, Durability::off});
  config.run.commit_every = config.run.durability == Durability::commit ? one_of(std::initializer_list<std::int64_t>{1, 3}) : 1;
  return config;
}

// In two steps a single token counts, whose gradient overflows fp16 once it is scaled.
std::vector<Batch> batches_of(const Config& config) {
  std::vector<Batch> batches = random_batches(kSteps, config.train.micro_batches, config.model.vocab);
  for (std::size_t step : {2U, 5U}) {
    std::vector<std::int64_t>& labels = batches[step].labels;
    const std::int64_t kept = 3;
    std::fill(labels.begin(), labels.end(), kIgnoredLabel);
    labels[1] = kept;
  }
  return batches;
}

reference::Order order_of(const Config& config) { return config.train.order == MicroBatchOrder::snake ? reference::Order::snake : reference::Order::ascending; }

// The limit becomes a norm in the middle of those that training without one has.
void clip_some(Config& config, const std::vector<Batch>& batches) {
  if (config.optimizer.gradient_clipping == 0.0) return;
  config.optimizer.gradient_clipping = 0.0;
  std::vector<double> norms = train_in_memory(config, batches, order_of(config)).grad_norms;
  std::erase_if(norms, [](double norm) { return !std::isfinite(norm); });
  std::sort(norms.begin(), norms.end());
  config.optimizer.gradient_clipping = norms[norms.size() / 2] * 0.999;
}

class NumericsTest : public testing::TestWithParam<Case> {
 protected:
  ~NumericsTest() override { optim::force_target(""); }
};

TEST_P(NumericsTest, SameBitsAsInMemoryOnEveryInstructionSet) {
  const Case& tested = GetParam();
  std::mt19937_64 random(std::hash<std::string>()(tested.name));
  std::size_t clipped = 0;
  std::size_t unclipped = 0;
  std::size_t skipped = 0;
  std::size_t redone = 0;
  std::size_t number = 0;
  for (const std::string& target : optim::supported_targets()) {
    optim::force_target(target);
    const TempFolder folder;
    Config config = draw(tested, random, folder);
    config.placement.update.device = kUpdates[number++ % kUpdates.size()];
    const std::vector<Batch> batches = batches_of(config);
    clip_some(config, batches);
    SCOPED_TRACE(target + ": " + config.to_json());
    const Outcome in_memory = train_in_memory(config, batches, order_of(config));
    const Outcome streamed = train_streamed(config, batches);
    ASSERT_NO_FATAL_FAILURE(expect_equal(streamed, in_memory));
    for (std::size_t i = 0; i < batches.size(); ++i) {
      redone += streamed.redone[i] ? 1 : 0;
      ++(in_memory.skipped[i] ? skipped : in_memory.factors[i] < 1.0 ? clipped : unclipped);
    }
  }
  EXPECT_GT(unclipped, 0U);
  EXPECT_EQ(clipped > 0, tested.clips);
  EXPECT_EQ(skipped > 0, tested.dtype == Dtype::fp16);
  EXPECT_EQ(redone > 0, tested.guard == Guard::speculative);
}

// Of the same maths: each rule, in turns.
TEST_P(NumericsTest, SameBitsWhateverTheDeviceUpdates) {
  std::mt19937_64 random(std::hash<std::string>()(GetParam().name) + 1);
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd}) {
    const TempFolder unused;
    Config config = draw(GetParam(), random, unused);
    config.optimizer.name = rule;
    const std::vector<Batch> batches = batches_of(config);
    clip_some(config, batches);
    SCOPED_TRACE(config.to_json());
    const Outcome in_memory = train_in_memory(config, batches, order_of(config));
    for (const double share : kUpdates) {
      SCOPED_TRACE(share);
      const TempFolder folder;
      config.placement.update.device = share;
      config.run.dir = folder / "run";
      config.ssd.paths = {folder / "ssd"};
      ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches), in_memory));
    }
  }
}

TEST_P(NumericsTest, HasTheGuardThatItAsksFor) {
  const TempFolder folder;
  std::mt19937_64 random(1);
  EXPECT_EQ(plan::numerics_of(draw(GetParam(), random, folder)).guard, GetParam().guard);
}

INSTANTIATE_TEST_SUITE_P(Cases, NumericsTest, testing::ValuesIn(kCases), [](const auto& instance) { return instance.param.name; });

struct Bytes {
  Dtype dtype;
  MomentFormat moments;
  std::uint64_t block_read;  // per parameter and step
  std::uint64_t edge_read;   // of an untied embedding, and of the head
  std::uint64_t written;
};

// The table of the design, in the metrics: everything on SSD but activations, at any delay and number of micro-batches.
TEST(Numerics, MovesTheDesignsBytesAParameter) {
  for (const Bytes& row : {Bytes{Dtype::fp32, MomentFormat::fp32, 16, 12, 12}, Bytes{Dtype::bf16, MomentFormat::fp32, 14, 12, 12}, Bytes{Dtype::bf16, MomentFormat::bf16, 10, 8, 8}}) {
    for (const double delay : {0.0, 0.5, 1.0}) {
      for (const std::int64_t micro_batches : {1, 3}) {
        SCOPED_TRACE(std::string(word_of(row.dtype)) + ", " + word_of(row.moments) + " moments, delay " + std::to_string(delay) + ", M " + std::to_string(micro_batches));
        const TempFolder folder;
        Config config = small_config(small_llama(), micro_batches, folder);
        config.train.dtype = row.dtype;
        config.optimizer.moments = row.moments;
        config.train.delay = delay;
        config.placement.activations = {1.0, 0.0};
        config.placement.gradients.host = 1.0;
        const plan::ModelLayout layout = model::layout_of(models::make(config.model), false);
        std::uint64_t read = 0;
        std::uint64_t written = 0;
        for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
          const std::uint64_t elements = schedule::padded_elements(layout.flat(unit).elements);
          const bool edge = unit == 0 || unit + 1 == layout.units.size();
          read += elements * (edge ? row.edge_read : row.block_read);
          written += elements * row.written;
        }
        Trainer trainer(models::make(config.model), config);
        for (const Batch& batch : random_batches(3, micro_batches, config.model.vocab)) {
          trainer.take_traffic();
          trainer.step(batch);
        }
        const Traffic steady = trainer.take_traffic();
        EXPECT_EQ(steady.ssd_read_bytes, read);
        EXPECT_EQ(steady.ssd_write_bytes, written);
      }
    }
  }
}

struct GuardedBytes {
  Dtype dtype;
  std::optional<ClippingMode> mode;  // none: nothing is clipped
  double delay;
  double read;  // per parameter of a block and step, gradients that wait on SSD included
  double written;
};

// The same where an update waits for the norm, and where the master is whole. Tied and untied, what the run was told to expect is what it moved.
TEST(Numerics, MovesTheDesignsBytesAParameterUnderGuards) {
  for (const GuardedBytes& row : {GuardedBytes{Dtype::fp16, std::nullopt, 1.0, 18, 18}, GuardedBytes{Dtype::fp16, ClippingMode::speculative, 0.0, 16, 18},
                                  GuardedBytes{Dtype::bf16, ClippingMode::deferred, 1.0, 18, 16}, GuardedBytes{Dtype::bf16, ClippingMode::speculative, 0.0, 14, 16},
                                  GuardedBytes{Dtype::bf16, ClippingMode::speculative, 0.5, 16, 16}, GuardedBytes{Dtype::fp32, ClippingMode::deferred, 1.0, 20, 16}}) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(std::string(word_of(row.dtype)) + ", clipping " + (row.mode ? word_of(*row.mode) : "off") + ", delay " + std::to_string(row.delay) + (tied ? ", tied" : ""));
      std::uint64_t block = 0;  // elements
      const auto steady = [&](std::int64_t layers) {
        const TempFolder folder;
        Config config = small_config(small_llama(), 2, folder);
        config.model.layers = layers;
        config.model.tie_embeddings = tied;
        config.run.durability = Durability::commit;
        config.train.dtype = row.dtype;
        config.train.delay = row.delay;
        config.placement.activations = {1.0, 0.0};
        if (row.mode) {
          config.optimizer.gradient_clipping = 1e9;
          config.optimizer.clipping_mode = *row.mode;
        }
        if (row.dtype == Dtype::fp16) config.train.loss_scale = 1.0;
        block = schedule::padded_elements(model::layout_of(models::make(config.model), false).flat(1).elements);
        Trainer trainer(models::make(config.model), config);
        for (const Batch& batch : random_batches(3, 2, config.model.vocab)) {
          trainer.take_traffic();
          EXPECT_FALSE(trainer.step(batch).redone);
        }
        const Traffic traffic = trainer.take_traffic();
        EXPECT_EQ(traffic.ssd_read_bytes, trainer.report().formula_ssd_read_bytes);
        EXPECT_EQ(traffic.ssd_write_bytes, trainer.report().formula_ssd_write_bytes);
        return traffic;
      };
      const Traffic shallow = steady(2);
      const Traffic deep = steady(3);
      EXPECT_DOUBLE_EQ(static_cast<double>(deep.ssd_read_bytes - shallow.ssd_read_bytes) / static_cast<double>(block), row.read);
      EXPECT_DOUBLE_EQ(static_cast<double>(deep.ssd_write_bytes - shallow.ssd_write_bytes) / static_cast<double>(block), row.written);
    }
  }
}

// What a stopped run must remember: the loss scale, its good steps, how many updates there were. Who makes them may be another each time.
TEST(Numerics, GoOnAfterSkippedStepsWhereTheRunStopped) {
  for (const ClippingMode mode : {ClippingMode::deferred, ClippingMode::speculative}) {
    SCOPED_TRACE(word_of(mode));
    const TempFolder folder;
    Config config = small_config(small_gpt2(), 2, folder);
    config.run.durability = Durability::commit;
    config.train.dtype = Dtype::fp16;
    config.train.delay = -1.0;
    config.optimizer.warmup_steps = 6;
    config.optimizer.clipping_mode = mode;
    const std::vector<Batch> batches = batches_of(config);
    std::vector<StepResult> whole;
    std::vector<std::vector<float>> weights;
    {
      Config other = config;
      other.run.dir = folder / "whole";
      other.ssd.paths = {folder / "whole-ssd"};
      Trainer trainer(models::make(config.model), other);
      for (const Batch& batch : batches) whole.push_back(trainer.step(batch));
      trainer.commit();
      for (std::int64_t unit = 0; unit < config.model.layers + 2; ++unit) weights.push_back(trainer.weights(unit));
    }
    std::size_t skipped = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) {  // one process a step
      config.placement.update.device = kUpdates[i % kUpdates.size()];
      Trainer trainer(models::make(config.model), config);
      const StepResult step = trainer.step(batches[i]);
      EXPECT_EQ(step.loss, whole[i].loss) << i;
      EXPECT_EQ(step.learning_rate, whole[i].learning_rate) << i;
      EXPECT_EQ(step.loss_scale, whole[i].loss_scale) << i;
      EXPECT_EQ(step.skipped, whole[i].skipped) << i;
      skipped += step.skipped ? 1 : 0;
      trainer.commit();
      if (i + 1 < batches.size()) continue;
      for (std::int64_t unit = 0; unit < config.model.layers + 2; ++unit) EXPECT_EQ(trainer.weights(unit), weights[static_cast<std::size_t>(unit)]);
    }
    EXPECT_GT(skipped, 0U);
  }
}

TEST(Numerics, AWeightThatItsFormatCannotHoldEndsTheRunAndIsNeverCommitted) {
  for (const auto& [delay, share] : {std::pair{0.0, 0.0}, std::pair{0.5, 0.0}, std::pair{1.0, 0.0}, std::pair{0.0, 1.0}, std::pair{0.5, 0.5}, std::pair{1.0, 1.0}}) {
    SCOPED_TRACE("delay " + std::to_string(delay) + ", updates on the device " + std::to_string(share));
    const TempFolder folder;
    Config config = small_config(small_gpt2(), 1, folder);
    config.run.durability = Durability::commit;
    config.train.dtype = Dtype::bf16;
    config.train.delay = delay;
    config.placement.update.device = share;
    expect_unstorable_weight_ends_the_run(config, random_batches(4, 1, config.model.vocab));
  }
}

// A gradient that is not finite ends a run that does not skip, names the unit and leaves the commit before.
TEST(Numerics, AGradientThatIsNotFiniteEndsTheRunWithItsUnit) {
  const TempFolder folder;
  Config config = small_config(small_gpt2(), 1, folder);
  config.run.durability = Durability::commit;
  config.train.dtype = Dtype::fp16;
  config.train.on_nonfinite = OnNonfinite::stop;
  config.train.loss_scale = 1024.0;
  config.train.delay = 0.5;
  config.placement.update.device = 0.3;
  std::vector<Batch> batches = random_batches(3, 1, config.model.vocab);
  {
    Trainer trainer(models::make(config.model), config);
    trainer.step(batches[0]);
    trainer.step(batches[1]);
    trainer.commit();
  }
  config.train.loss_scale = 1e30;
  TrainerOptions options;
  options.allow_change = {"train.loss_scale"};
  {
    Trainer trainer(models::make(config.model), config, options);
    try {
      trainer.step(batches[2]);
      FAIL() << "it went on";
    } catch (const NonFiniteError& error) {
      EXPECT_THAT(error.what(), HasSubstr("the gradient of unit 3 (block)"));  // the last one that is not finite: the head's own still is
      EXPECT_THAT(error.what(), HasSubstr("step 3"));
    }
    EXPECT_EQ(trainer.committed_step(), 2);
  }
  config.train.loss_scale = 1024.0;
  const Trainer resumed(models::make(config.model), config);
  EXPECT_EQ(resumed.completed_steps(), 2);
}

}  // namespace
}  // namespace gsnake::test
