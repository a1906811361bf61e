// A trainer of the toy model whose steps become durable, in a temporary folder: gsnake::Trainer without LibTorch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/durable_run.h"
#include "checkpoint/resume.h"
#include "checkpoint/state_hashes.h"
#include "device/device.h"
#include "optim/optimizer.h"
#include "runtime/executor.h"
#include "runtime/toy_model.h"
#include "runtime/toy_store.h"
#include "store/store_test_support.h"

namespace gsnake::checkpoint::test {

using runtime::test::ToyObject;

// A run on disk and what its steps come to. Outlives its trainers.
struct ToyRun {
  // In one folder, which is memory's where the drive does not matter; two slots and two snapshots, fp32, α as given.
  explicit ToyRun(double delay = 0.0);
  // Before anything else: the last unit uses a packed object as well.
  void add_base();

  // The state after `step` by a loop in memory; and the step's loss. Steps asked for in ascending order cost least.
  const std::vector<ToyObject>& after(std::int64_t step);
  // What the folder's commit holds: its step, whose bytes must be the loop's.
  std::int64_t expect_whole_commit();
  [[nodiscard]] store::StoreOptions storage() const;

  store::testing::TemporaryDirectory folder{store::testing::in_memory()};
  Config config;
  schedule::Problem problem;
  optim::OptimizerSpec optimizer;
  runtime::Policy policy{runtime::test::learning_rate};
  std::vector<ToyObject> initial;
  std::optional<runtime::test::ToyBase> base;

 private:
  std::unique_ptr<runtime::test::ToyReference> reference_;
  std::int64_t reference_step_ = 0;
};

// What a test puts in a trainer's way.
struct Hooks {
  io::SyncOps* sync = nullptr;
  std::function<std::unique_ptr<io::IoEngine>(std::unique_ptr<io::IoEngine>)> wrap_engine{};
  std::function<std::unique_ptr<runtime::Committer>(runtime::Committer&)> wrap_committer{};
  std::function<void(std::int64_t step)> agree{};
  std::optional<std::uint64_t> generation{};
  std::optional<std::int64_t> from_step{};
};

// A new run, or the one that is there.
class ToyTrainer {
 public:
  ToyTrainer(ToyRun& run, const Hooks& hooks = {});
  ~ToyTrainer();
  ToyTrainer(const ToyTrainer&) = delete;
  ToyTrainer& operator=(const ToyTrainer&) = delete;

  // As Trainer's.
  void submit();
  void wait();
  void step();
  void commit();
  [[nodiscard]] std::int64_t in_flight() const { return submitted_ - waited_; }
  [[nodiscard]] DurableRun& durable() { return *durable_; }
  [[nodiscard]] runtime::Executor& executor() { return *executor_; }
  [[nodiscard]] store::Store& store() { return *store_; }

 private:
  struct Step {
    runtime::Executor::Ticket ticket = -1;
    std::vector<std::int64_t> inputs;
    std::vector<std::int64_t> labels;
    runtime::StepBatch batch;
  };
  void open(const Hooks& hooks, const schedule::Map& map);
  void start(const Hooks& hooks);

  ToyRun& run_;
  const schedule::Program program_;
  runtime::test::ToyBackend backend_;
  runtime::test::ToyOptimizers optimizers_;
  std::unique_ptr<device::Device> device_ = device::make_cpu_device();
  std::unique_ptr<store::Store> store_;
  std::optional<StateHashes> written_;
  runtime::StepCounters counters_;
  Step steps_[2];
  std::int64_t submitted_ = 0;
  std::int64_t waited_ = 0;
  std::unique_ptr<DurableRun> durable_;
  std::unique_ptr<runtime::Committer> wrapped_;
  std::unique_ptr<runtime::Executor> executor_;
};

}  // namespace gsnake::checkpoint::test
