#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>

#include "core/topology.h"
#include "train/session.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 2;

std::string message_of(const std::function<void()>& call, ErrorKind kind) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

Config delayed_config(const TempFolder& folder) {
  Config config = small_config(small_gpt2(), kMicroBatches, folder);
  config.train.delay = 0.5;
  return config;
}

std::vector<std::vector<float>> weights_of(Trainer& trainer) {
  std::vector<std::vector<float>> weights;
  for (std::int64_t unit = 0; unit < small_gpt2().layers + 2; ++unit) weights.push_back(trainer.weights(unit));
  return weights;
}

TEST(TrainerTest, ValidationsAndCommitsInBetweenChangeNothing) {
  const TempFolder plain_folder;
  const TempFolder folder;
  const std::vector<Batch> batches = random_batches(6, kMicroBatches, small_gpt2().vocab);
  const Outcome plain = train_streamed(delayed_config(plain_folder), batches);
  Config config = delayed_config(folder);
  config.run.durability = Durability::commit;
  Trainer trainer(models::make(config.model), config);
  std::vector<double> losses;
  double validation = 0.0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    losses.push_back(trainer.step(batches[i]).loss);
    if (i == 1 || i == 2) validation = trainer.validate(batches[0]);
    if (i == 2 || i == 3) trainer.commit();
  }
  EXPECT_GT(validation, 0.0);
  EXPECT_EQ(losses, plain.losses);
  trainer.commit();
  EXPECT_EQ(weights_of(trainer), plain.weights);
}

TEST(TrainerTest, ValidationLossDoesNotDependOnHowMicroBatchesFillPasses) {
  const TempFolder folder;
  const TempFolder other_folder;
  const std::vector<Batch> batches = random_batches(1, 3, small_gpt2().vocab);
  Config config = delayed_config(folder);
  Config other = small_config(small_gpt2(), 1, other_folder);
  Trainer by_twos(models::make(config.model), config);
  Trainer by_ones(models::make(other.model), other);
  EXPECT_EQ(by_twos.validate(batches[0]), by_ones.validate(batches[0]));
}

TEST(TrainerTest, ResumesBitIdenticallyUnderAnotherPlacementDelayAndSchedule) {
  const TempFolder plain_folder;
  const TempFolder folder;
  const std::vector<Batch> batches = random_batches(7, kMicroBatches, small_gpt2().vocab);
  Config plain = delayed_config(plain_folder);
  plain.train.order = MicroBatchOrder::ascending;
  const Outcome uninterrupted = train_streamed(plain, batches);
  Config config = delayed_config(folder);
  config.train.order = MicroBatchOrder::ascending;
  config.run.durability = Durability::commit;
  config.placement.weights = config.placement.optimizer = {0.3, 0.3, false};
  {
    Trainer trainer(models::make(config.model), config);
    for (std::size_t i = 0; i < 3; ++i) trainer.step(batches[i]);
    trainer.set_data_position({42, "where a loader stood"});
    trainer.commit();
  }
  config.placement.weights = config.placement.optimizer = {0.0, 0.8, false};
  config.placement.kept.device = 1.0;
  config.train.delay = 1.0;
  config.train.schedule = Schedule::horizontal;
  Trainer trainer(models::make(config.model), config, {Resume::must, false, {}});
  EXPECT_EQ(trainer.completed_steps(), 3);
  EXPECT_EQ(trainer.data_position().cursor, 42U);
  EXPECT_EQ(trainer.data_position().state, "where a loader stood");
  for (std::size_t i = 3; i < batches.size(); ++i) EXPECT_EQ(trainer.step(batches[i]).loss, uninterrupted.losses[i]);
  trainer.commit();
  EXPECT_EQ(weights_of(trainer), uninterrupted.weights);
}

TEST(TrainerTest, RefusesToResumeWithChangedMathsAndNamesTheKey) {
  const TempFolder folder;
  Config config = delayed_config(folder);
  { Trainer(models::make(config.model), config).commit(); }
  config.optimizer.beta2 = 0.99;
  const std::string message = message_of([&] { Trainer(models::make(config.model), config, {}); }, ErrorKind::usage);
  EXPECT_NE(message.find("optimizer.betas"), std::string::npos) << message;
  TrainerOptions allowed;
  allowed.allow_change = {"optimizer.betas"};
  EXPECT_NO_THROW(Trainer(models::make(config.model), config, allowed));
}

TEST(TrainerTest, RefusesABudgetThatIsTooSmallBeforeItTouchesADrive) {
  const TempFolder folder;
  Config config = delayed_config(folder);
  config.memory.host_budget = 100 << 10;
  const std::string message = message_of([&] { Trainer(models::make(config.model), config); }, ErrorKind::budget);
  EXPECT_NE(message.find("memory.host_budget"), std::string::npos) << message;
  EXPECT_NE(message.find("chunks"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(config.run.dir));
  EXPECT_FALSE(std::filesystem::exists(config.ssd.paths[0]));
}

TEST(TrainerTest, WhatTheRefusalAsksForIsEnough) {
  for (const double kept : {0.0, 0.5, 1.0}) {
    SCOPED_TRACE(kept);
    const TempFolder folder;
    Config config = delayed_config(folder);
    config.placement.kept.device = kept;
    config.memory.device_budget = 1 << 20;
    const std::string message = message_of([&] { Trainer(models::make(config.model), config); }, ErrorKind::budget);
    EXPECT_EQ(message.find("kept activations") != std::string::npos, kept > 0.0) << message;
    const std::size_t at = message.find("at least ");
    ASSERT_NE(at, std::string::npos) << message;
    const std::string budget = message.substr(at + 9, message.find_first_of("\n\";,", at) - at - 9);
    config.memory.device_budget = Config::parse("", ".", {"memory.device_budget=" + budget, "train.dtype=fp32", "data.train=x"}).memory.device_budget;
    Trainer trainer(models::make(config.model), config);
    EXPECT_GT(trainer.step(random_batches(1, kMicroBatches, small_gpt2().vocab)[0]).loss, 0.0);
  }
}

TEST(TrainerTest, RefusesAFolderThatAnotherTrainerUses) {
  const TempFolder folder;
  const Config config = delayed_config(folder);
  Trainer first(models::make(config.model), config);
  const std::string message = message_of([&] { Trainer(models::make(config.model), config); }, ErrorKind::storage);
  EXPECT_NE(message.find("in use"), std::string::npos) << message;
}

TEST(TrainerTest, LeavesNothingBehindWithoutACommit) {
  const TempFolder folder;
  const Config config = delayed_config(folder);
  {
    Trainer trainer(models::make(config.model), config);
    trainer.step(random_batches(1, kMicroBatches, small_gpt2().vocab)[0]);
  }
  EXPECT_FALSE(std::filesystem::exists(config.ssd.paths[0]));
}

TEST(TrainerTest, ALossThatIsNotFiniteIsAnErrorThatNamesTheStep) {
  const TempFolder folder;
  Config config = delayed_config(folder);
  config.optimizer.learning_rate = 1e30;
  Trainer trainer(models::make(config.model), config);
  const std::vector<Batch> batches = random_batches(5, kMicroBatches, small_gpt2().vocab);
  const std::string message = message_of(
      [&] {
        for (const Batch& batch : batches) trainer.step(batch);
      },
      ErrorKind::non_finite);
  EXPECT_NE(message.find("step "), std::string::npos) << message;
}

// The processors that the threads of that name may run on: "0-3,8".
std::set<std::string> processors_of(const std::string& name) {
  std::set<std::string> found;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm"), comm);
    if (comm.rfind(name, 0) != 0) continue;
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Cpus_allowed_list:", 0) == 0) found.insert(line.substr(line.find_last_of("\t ") + 1));
    }
  }
  return found;
}

TEST(TrainerTest, KeepsTheLanesThreadsApartWhereThatIsAskedFor) {
  for (const bool apart : {false, true}) {
    const TempFolder folder;
    Config config = delayed_config(folder);
    config.train.compute_threads = 1;
    config.train.pin_threads = apart ? ThreadPinning::apart : ThreadPinning::never;
    Trainer trainer(models::make(config.model), config);
    trainer.step(random_batches(1, kMicroBatches, small_gpt2().vocab)[0]);  // every thread has had something to do, or is about to
    const unsigned threads = train::optimizer_threads(config);
    const bool pinned = apart && core::Topology::machine().split(1, threads);
    std::set<std::string> compute;
    std::set<std::string> optimizer;
    const auto as_wanted = [&] {
      compute = processors_of("gs-compute");
      optimizer = processors_of("gs-optim");
      return compute.size() == 1 && optimizer.size() == (pinned ? threads : 1) && (compute != optimizer) == pinned;
    };
    for (int tries = 0; !as_wanted() && tries < 500; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(as_wanted()) << testing::PrintToString(compute) << " and " << testing::PrintToString(optimizer);
    if (apart && !pinned) GTEST_SKIP() << "too few cores to keep anything apart";
  }
}

TEST(TrainerTest, SteadyTrafficEqualsTheClosedFormula) {
  const TempFolder folder;
  Config config = delayed_config(folder);
  config.placement.kept.device = 0.5;
  Trainer trainer(models::make(config.model), config);
  const std::vector<Batch> batches = random_batches(3, kMicroBatches, small_gpt2().vocab);
  trainer.step(batches[0]);
  trainer.take_traffic();
  for (std::size_t i = 1; i < batches.size(); ++i) {
    trainer.step(batches[i]);
    const Traffic traffic = trainer.take_traffic();
    EXPECT_EQ(traffic.ssd_read_bytes, trainer.report().formula_ssd_read_bytes);
    EXPECT_EQ(traffic.ssd_write_bytes, trainer.report().formula_ssd_write_bytes);
  }
}

TEST(TrainerTest, TheNextStepsReadsBeginBeforeTheLastWritesOfAStepEnd) {
  const TempFolder folder;
  Config config = delayed_config(folder);
  config.emulate.ssd_read = 100e6;
  config.emulate.ssd_write = 100e6;
  Trainer trainer(models::make(config.model), config);
  trainer.record_trace();
  const std::vector<Batch> batches = random_batches(4, kMicroBatches, small_gpt2().vocab);
  trainer.submit(batches[0]);
  for (std::size_t i = 1; i < batches.size(); ++i) {
    trainer.submit(batches[i]);
    trainer.wait();
  }
  trainer.wait();
  trainer.write_trace(folder / "trace.json");
  std::ifstream file(folder / "trace.json");
  const nlohmann::json events = nlohmann::json::parse(file).at("traceEvents");
  for (int step = 1; step < 4; ++step) {
    double last_write_ends = 0.0;
    double first_read_begins = 1e300;
    for (const auto& event : events) {
      if (event.at("ph") != "X") continue;
      const double begin = event.at("ts");
      if (event.at("cat") == "ssd_write" && event.at("args").at("step") == step) last_write_ends = std::max(last_write_ends, begin + event.at("dur").get<double>());
      if (event.at("cat") == "ssd_read" && event.at("args").at("step") == step + 1) first_read_begins = std::min(first_read_begins, begin);
    }
    EXPECT_LT(first_read_begins, last_write_ends) << "step " << step;
  }
}

TEST(TrainerTest, AStepTellsHowLongEachLaneWasBusyInIt) {
  const TempFolder folder;
  const Config config = small_config(small_gpt2(), 2, folder);
  Trainer trainer(models::make(config.model), config);
  double before = 0.0;
  for (const Batch& batch : random_batches(3, 2, config.model.vocab)) {
    const StepResult step = trainer.step(batch);
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::string name = lane_name(lane);
      const double busy = step.lanes[static_cast<std::size_t>(lane)];
      const bool works = name != "collective" && name != "commit";
      EXPECT_EQ(busy > 0.0, works) << name;
      EXPECT_LE(busy, step.step_ms + before + 1.0) << name;  // work of a step's interval may have begun before it
    }
    before = step.step_ms;
  }
}

}  // namespace
}  // namespace gsnake::test
