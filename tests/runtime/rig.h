// Everything that an executor needs to train the toy model, in a temporary folder.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "runtime/executor.h"
#include "runtime/toy_model.h"
#include "runtime/toy_store.h"
#include "schedule/support.h"
#include "store/store_test_support.h"

namespace gsnake::runtime::test {

using schedule::test::Random;

// How many seeds a sweep over whole runs goes through that is of so many as a rule (schedule::test::sweep()): a sanitizer slows their I/O and
// sleeps less than it slows code.
inline std::uint64_t seeds(int count, int slowdown = 5) {
  return static_cast<std::uint64_t>(schedule::test::sweep(count, schedule::test::kSlowdown > 1 ? slowdown : 1));
}

struct Setup {
  schedule::Problem problem;
  schedule::PoolSizes pools;
  int paths = 1;  // of SSD
  int slots = 1;  // of state on SSD
  io::EngineChoice engine = io::EngineChoice::threads;
  unsigned optimizer_threads = 1;
  std::array<double, schedule::kLaneCount> rates{};
  optim::OptimizerSpec optimizer;
  Policy policy{learning_rate};
  StepCounters counters;
  bool blows_up = false;  // the gradient of some steps
  std::uint64_t seed = 20;  // of the initial objects
  std::function<schedule::Program(const schedule::Problem&, const schedule::PoolSizes&)> build = schedule::build_program;
  Collective* collective = nullptr;  // of a problem of several ranks,
  Agreement* agreement = nullptr;    // likewise
  bool verify_reads = true;
  std::shared_ptr<const ToyBase> base = {};  // with the packed objects; null: one in the rig's folder
  std::function<std::unique_ptr<io::IoEngine>(std::unique_ptr<io::IoEngine>)> wrap_engine{};  // faults between store and engine
};

Setup random_setup(std::uint64_t seed);
// Over a table of objects of any shape (schedule::test::random_table()), in the toy's formats.
Setup random_table_setup(std::uint64_t seed);
// Everything on SSD, several chunks an object, some of each delayed.
Setup ssd_setup();
std::string describe(const Setup& setup);

// One graph that was started, with what it borrows.
struct Started {
  Executor::Ticket ticket = -1;
  schedule::Variant variant = schedule::Variant::train;
  std::vector<std::int64_t> inputs;  // of all ranks, as the losses are
  std::vector<std::int64_t> labels;
  StepBatch batch;                   // this rank's
};

// Keeps what was committed, read back from SSD at that moment; says no to some steps if asked to, as while somebody reads the last commit.
class ReadingCommitter final : public Committer {
 public:
  explicit ReadingCommitter(std::function<std::vector<ToyObject>(int slot)> read) : read_(std::move(read)) {}
  bool may_commit(std::int64_t step) override;
  void commit(std::int64_t step, const StepCounters& counters, int slot) override;
  void decline_some(bool declines) { declines_ = declines; }
  // Steps that it said no to. Thread-safe.
  [[nodiscard]] std::set<std::int64_t> declined();

  struct Commit {
    std::int64_t step = 0;
    StepCounters counters;
    int slot = 0;
    std::vector<ToyObject> objects;
  };
  // Of all commits since the call before. Thread-safe.
  [[nodiscard]] std::vector<Commit> take();

 private:
  std::function<std::vector<ToyObject>(int slot)> read_;
  std::mutex mutex_;
  std::vector<Commit> commits_;
  std::set<std::int64_t> declined_;
  std::atomic<bool> declines_{false};
};

class Rig {
 public:
  // The device outlives the rig. backend, optimizer (of whatever is trained), committer: null for the toy's, the setup's, and the rig's own; borrowed.
  Rig(Setup setup, device::Device& device, ComputeBackend* backend = nullptr, const optim::Optimizer* optimizer = nullptr,
      Committer* committer = nullptr);

  // Each keeps what it started until the rig goes.
  Started& load();
  Started& train(bool commits = true);
  Started& validate();
  // Waits for its end, and that of the graph before.
  void finish();

  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] store::Store& store() { return *store_; }
  // Stops whatever is in flight.
  void drop_executor() { executor_.reset(); }
  [[nodiscard]] const schedule::Program& program() const { return program_; }
  [[nodiscard]] const std::vector<ToyObject>& initial() const { return initial_; }
  [[nodiscard]] ToyReference reference() const { return {setup_.problem, setup_.optimizer, setup_.policy, setup_.counters, initial_, setup_.blows_up}; }
  [[nodiscard]] const std::deque<Started>& started() const { return started_; }
  // Of the state on SSD that counts after `finish()`.
  [[nodiscard]] std::vector<ToyObject> stored();
  [[nodiscard]] ReadingCommitter& committer() { return committer_; }
  [[nodiscard]] const ToyBase& base() const { return *base_; }
  // Scratch on SSD, as it stands.
  [[nodiscard]] std::vector<std::byte> scratch(const core::Extent& extent);
  [[nodiscard]] std::string file_of(store::Kind kind) const;
  [[nodiscard]] std::string folder() const { return folder_.path(); }

 private:
  Started& add(bool training);
  void open_store();
  [[nodiscard]] std::vector<ToyObject> read_slot(int slot);

  const Setup setup_;
  store::testing::TemporaryDirectory folder_;
  const schedule::Program program_;
  const std::vector<ToyObject> initial_;
  ToyBackend toy_;
  const ToyOptimizers optimizers_;
  const std::shared_ptr<const ToyBase> base_;
  std::unique_ptr<store::Store> store_;
  std::deque<Started> started_;  // a deque: the executor borrows batches
  ReadingCommitter committer_{[this](int slot) { return read_slot(slot); }};
  std::unique_ptr<Executor> executor_;
  std::int64_t steps_ = 0;
};

}  // namespace gsnake::runtime::test
