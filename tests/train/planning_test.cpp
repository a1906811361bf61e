// Choices that a config leaves to the planner, and what is predicted of its steps, from the trainer's side.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "config/load.h"
#include "plan/forecast.h"
#include "schedule/traffic.h"
#include "small_machine.h"
#include "train/planning_basis.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 2;
constexpr TierFractions kAutomatic{0.0, 0.0, true};

class Planning : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(machine_) << kSmallMachine; }

  Config config() {
    Config config = small_config(small_gpt2(), kMicroBatches, folder_);
    config.run.durability = Durability::commit;
    config.memory.host_budget = 64ULL << 20;
    config.memory.device_budget = 64ULL << 20;
    return config;
  }
  Config open_config() {
    Config open = config();
    open.placement.weights = open.placement.optimizer = open.placement.activations = open.placement.gradients = kAutomatic;
    open.memory.host_budget = open.memory.device_budget = kAutomaticBytes;
    open.train.delay = -1.0;
    return open;
  }
  TrainerOptions options() {
    TrainerOptions options;
    options.machine = machine_;
    return options;
  }

  const TempFolder folder_;
  const std::string machine_ = folder_ / "machine.toml";
};

TEST_F(Planning, PredictsEveryStepOfATrainerWithAProfile) {
  const std::vector<Batch> batches = random_batches(4, kMicroBatches, small_gpt2().vocab);
  Trainer trainer(models::make(config().model), config(), options());
  const Prediction& prediction = trainer.report().prediction;
  EXPECT_EQ(prediction.machine, "a small machine");
  ASSERT_FALSE(prediction.step_ms.empty());
  std::vector<double> predicted;
  for (const Batch& batch : batches) predicted.push_back(trainer.step(batch).predicted_ms);
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    EXPECT_GT(predicted[i], 0.0);
    EXPECT_EQ(predicted[i], prediction.step_ms[std::min(i, prediction.step_ms.size() - 1)]);
  }
  // What this drive needs for a step's bytes is less than the step, and some lane is near it.
  const double bytes = static_cast<double>(trainer.report().formula_ssd_read_bytes);
  EXPECT_GE(prediction.step_ms.back(), 0.99e3 * bytes / 60e6);
  EXPECT_TRUE(trainer.report().choices.empty());
}

TEST_F(Planning, PredictsNothingWithoutAProfile) {
  ::setenv("XDG_CACHE_HOME", "/nonexistent", 1);  // whatever other tests measured
  Trainer trainer(models::make(config().model), config());
  EXPECT_TRUE(trainer.report().prediction.machine.empty());
  EXPECT_EQ(trainer.step(random_batches(1, kMicroBatches, small_gpt2().vocab)[0]).predicted_ms, 0.0);
}

// What is left to the planner is no part of the maths.
TEST_F(Planning, ChoosesWithoutChangingABit) {
  const std::vector<Batch> batches = random_batches(3, kMicroBatches, small_gpt2().vocab);
  const Outcome plain = train_streamed(config(), batches);
  std::filesystem::remove_all(config().run.dir);
  for (const std::string& path : config().ssd.paths) std::filesystem::remove_all(path);
  Trainer trainer(models::make(config().model), open_config(), options());
  std::vector<double> losses;
  for (const Batch& batch : batches) losses.push_back(trainer.step(batch).loss);
  EXPECT_EQ(losses, plain.losses);
  const auto chosen = [&](const std::string& key) {
    const auto& choices = trainer.report().choices;
    return std::any_of(choices.begin(), choices.end(), [&](const std::string& choice) { return choice.starts_with(key + " = ") || choice.starts_with(key + "."); });
  };
  for (const char* key : {"train.delay", "placement.weights", "placement.optimizer", "memory.host_budget", "memory.device_budget"}) EXPECT_TRUE(chosen(key)) << key;
  EXPECT_FALSE(chosen("train.micro_batches"));
  EXPECT_FALSE(trainer.report().prediction.machine.empty());
}

TEST_F(Planning, ForAMachineOfOneMemoryCopiesNoActivations) {
  const auto copies = [&](const char* unified) {
    std::string profile(kSmallMachine);
    const std::string device = "device = \"cpu\"";
    profile.replace(profile.find(device), device.size(), std::string("device = \"a GPU\"\nunified = ") + unified);
    std::ofstream(machine_) << profile;
    Config on_host = config();
    on_host.memory.device = "cuda:0";
    on_host.placement.activations = {0.0, 1.0};
    Model model = models::make(on_host.model);
    const auto basis = train::planning_basis(model, on_host, {.file = machine_, .computes = false});
    const plan::Forecast forecast = plan::forecast(on_host, basis->setting, basis->profile, plan::prediction_options(on_host));
    return schedule::training_traffic(forecast.problem).activations;
  };
  EXPECT_GT(copies("false").h2d, 0U);
  EXPECT_EQ(copies("true"), schedule::Bytes());
}

// Micro-batches and moments that were chosen once stay as they are.
TEST_F(Planning, ResumesWithTheMathsOfTheRun) {
  Config open = open_config();
  open.train.micro_batches = -1;
  open.optimizer.moments = MomentFormat::automatic;
  std::int64_t micro_batches = 0;
  const auto said = [](const Trainer& trainer, const std::string& key) -> std::string {
    for (const std::string& choice : trainer.report().choices) {
      if (choice.starts_with(key + " = ")) return choice.substr(key.size() + 3);
    }
    return {};
  };
  {
    Trainer trainer(models::make(open.model), open, options());
    const std::string value = said(trainer, "train.micro_batches");
    ASSERT_FALSE(value.empty());
    micro_batches = std::stoll(value);
    ASSERT_GE(micro_batches, 1);
    trainer.step(random_batches(1, micro_batches, small_gpt2().vocab)[0]);
    trainer.commit();
  }
  // A machine on which another number of micro-batches would be the best.
  std::string faster(kSmallMachine);
  const auto replace = [&](const std::string& from, const std::string& to) { faster.replace(faster.find(from), from.size(), to); };
  replace("60 MB/s", "60 GB/s");
  replace("50 MB/s", "60 GB/s");
  std::ofstream(machine_) << faster;
  TrainerOptions resumed = options();
  resumed.resume = Resume::must;
  Trainer trainer(models::make(open.model), open, resumed);
  EXPECT_EQ(trainer.completed_steps(), 1);
  EXPECT_EQ(said(trainer, "train.micro_batches"), "");
  EXPECT_GT(trainer.step(random_batches(1, micro_batches, small_gpt2().vocab)[0]).loss, 0.0);
}

TEST_F(Planning, RefusesWhatFitsNoBudget) {
  Config small = open_config();
  small.memory.host_budget = 100 << 10;
  try {
    Trainer(models::make(small.model), small, options());
    ADD_FAILURE() << "it fits";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget) << error.what();
    EXPECT_NE(std::string(error.what()).find("memory.host_budget"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(small.run.dir));
}

}  // namespace
}  // namespace gsnake::test
