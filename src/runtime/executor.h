// Runs task graphs: one lane a resource, edges as counters and events, two graphs in flight, no barrier between steps.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "core/topology.h"
#include "device/device.h"
#include "greedysnake/results.h"
#include "runtime/agreement.h"
#include "runtime/base_hashes.h"
#include "runtime/commit_lane.h"
#include "runtime/device_lane.h"
#include "runtime/device_updates.h"
#include "runtime/lane.h"
#include "runtime/memory_image.h"
#include "runtime/slot_table.h"
#include "runtime/trace.h"
#include "store/store.h"

namespace gsnake::runtime {

struct ExecutorOptions {
  std::array<double, schedule::kLaneCount> emulated_rates{};  // by lane: bytes/s, compute FLOP/s; 0: not capped
  unsigned optimizer_threads = 1;
  std::optional<core::CoreSplit> cores;                  // that the compute and the optimizer lane keep to
  std::vector<const optim::Optimizer*> optimizers;       // by object; borrowed; null where it is frozen
  std::vector<std::vector<optim::DecayRun>> decay_runs;  // by object
  DeviceUpdates* device_updates = nullptr;               // borrowed; null: `optimizers`, which the device's compute guard runs on the memory of its slots
  Policy policy;
  StepCounters counters;                                 // of the steps before
  Collective* collective = nullptr;                      // borrowed; for a problem of several ranks, as the next
  Agreement* agreement = nullptr;                        // on what comes of steps
  Committer* committer = nullptr;                        // borrowed; for a problem whose steps can be committed
  bool verify_reads = true;                              // against the checksums in slots() and, of what is in a base, base_hashes
  BaseHashes base_hashes;                                // where objects are packed and reads are verified
  bool hash_writes = true;                               // into slots(), of scratch where reads are verified; false only to measure what it costs
};

// Since the executor was made.
struct LaneTotals {
  std::array<double, schedule::kLaneCount> busy_ms{};
  std::array<std::uint64_t, schedule::kLaneCount> bytes{};
};

// One thread drives it. Program, device, store and backend are borrowed and outlive it.
// A failure in any task stops all lanes; it is thrown, once and for good, by whatever is awaited or started next.
class Executor final : private TaskSink {
 public:
  Executor(const schedule::Program& program, device::Device& device, store::Store& store, ComputeBackend& backend, ExecutorOptions options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  using Ticket = std::int64_t;

  // Starts the first graph: homes are filled.
  Ticket load();
  // Each joins a graph to what runs, and blocks while two are in flight. `batch` is borrowed until wait_results(), its ids for the call. Start training, validation or finishing in the variant that what ran before asks for.
  // commits: the step becomes durable once its update is complete; if it was finite or is skipped. Every step, where updates are speculative.
  Ticket train(StepBatch& batch, bool commits = true);
  Ticket validate(StepBatch& batch);
  // Commits the last step if that was not asked for before.
  Ticket finish();

  // Until the graph's losses, and what becomes of a training step, are known. Then the batch is the caller's again.
  void wait_results(Ticket ticket);
  // Until the next but one start: what a ticket moves. Where updates wait for their step's outcome, from the moment that the results of the
  // training step before were there.
  [[nodiscard]] const schedule::Graph& graph(Ticket ticket) const { return flights_[ticket % 2]->graph(); }
  [[nodiscard]] schedule::Conditions conditions(Ticket ticket) const;
  // Of a training step, after wait_results(), before the next but one start.
  [[nodiscard]] const StepOutcome& outcome(Ticket ticket) const { return *flights_[ticket % 2]->outcome; }
  void wait_end(Ticket ticket);
  // Throws what a task failed with, if one has.
  void throw_if_failed();
  // Ends everything as a failed task does: another rank has failed. From any thread.
  void interrupt(std::exception_ptr error) noexcept { fail(std::move(error)); }
  // After the last training step, once its results are there.
  [[nodiscard]] const StepCounters& counters() const { return outcomes_[static_cast<std::size_t>(last_.number + 1) % outcomes_.size()].verdict.after; }
  // The last training step stands in `slot`, and was made durable by the caller, while no lane is at work.
  void committed(int slot);
  // An object whose new master weights could not be stored, in any update so far: nothing is committed any more; -1: none.
  [[nodiscard]] int bad_weight() const;
  // Whether the previous step's delayed updates are still to be applied.
  [[nodiscard]] bool pending() const { return pending_; }

  [[nodiscard]] LaneTotals totals() const;
  // What has been running longest: "ssd_write: write chunk 3 (delayed) of step 7, for 12.3 s"; empty when nothing is.
  [[nodiscard]] std::string slowest() const;
  [[nodiscard]] AwaitedWork awaited() const;  // of the graph that was last awaited; thread-safe, as slowest()
  [[nodiscard]] SlotTable& slots() { return slots_; }
  [[nodiscard]] const MemoryImage& memory() const { return memory_; }
  // Records the tasks of graphs started from now on, until it is taken away (null). Borrowed.
  void record(Trace* trace) { trace_ = trace; }

 private:
  void submitted(Flight& flight, TaskId task) override;
  void completed(Flight& flight, TaskId task) override;
  void passed(Flight& flight) override;
  void fail(std::exception_ptr error) noexcept override;
  [[nodiscard]] bool poisoned() const noexcept override { return poisoned_.load(std::memory_order_acquire); }

  [[nodiscard]] std::optional<InHand> oldest_in_hand() const;
  [[nodiscard]] LaneRunner& lane(Lane lane) { return *lanes_[static_cast<std::size_t>(lane)]; }
  void check_options() const;
  void check_base(const store::Store& store) const;
  void make_lanes(device::Device& device, store::Store& store, ComputeBackend& backend);
  void make_device_lanes(device::Device& device, ComputeBackend& backend);
  void prepare_graphs();
  Ticket start(schedule::Variant variant, StepBatch* batch, bool commits = false);
  void begin_step(Flight& next, bool commits);
  void set_up(Flight& flight, const PreparedGraph& graph, const PreparedJoin* join, const Flight* previous);
  void put_batch(const Flight& flight);
  [[nodiscard]] schedule::Conditions conditions_of(schedule::Variant variant, bool commits);
  void commit(Flight& flight, TaskId task);
  void attach(Flight& previous, Flight& flight, const PreparedJoin& join);
  void settle(Flight& flight, TaskId task);
  void pass_over(Flight& flight, TaskId task);
  void pass_over_one(Flight& flight, TaskId task);
  void left(Flight& flight);
  void notify();
  [[nodiscard]] StepOutcome& outcome_of(std::int64_t number) { return outcomes_[static_cast<std::size_t>(number + 1) % outcomes_.size()]; }
  void retire(Flight& flight);
  template <typename Condition>
  void wait_until(const Condition& condition);
  [[nodiscard]] Flight& flight(Ticket ticket) { return *flights_[ticket % 2]; }

  const schedule::Program& program_;
  ExecutorOptions options_;
  std::unique_ptr<DeviceUpdates> host_updates_;  // where the options have none
  MemoryImage memory_;
  io::BufferRegistration known_to_engine_;  // of the host's memory: goes before it, after the lanes
  SlotTable slots_;
  std::array<std::optional<PreparedGraph>, schedule::kVariantCount> graphs_;
  std::array<std::array<std::optional<PreparedJoin>, schedule::kVariantCount>, schedule::kVariantCount> joins_;  // by previous and next
  std::array<std::unique_ptr<Flight>, 2> flights_;
  EventRings rings_;
  std::array<std::unique_ptr<LaneRunner>, schedule::kLaneCount> lanes_;
  std::int32_t in_order_lanes_ = 0;
  std::int64_t next_sequence_ = 0;
  bool pending_ = false;
  TrainingRef last_;            // the newest training step
  bool last_commits_ = false;   // it is to be committed,
  bool last_handed_ = true;     // and a graph that does so was started; also when there is nothing to commit
  // A ring of their own: what a step leaves to do is done in the graph after it, and its flight may be another's then.
  std::array<StepOutcome, 4> outcomes_;
  Trace* trace_ = nullptr;
  std::array<Trace*, 2> flight_trace_{nullptr, nullptr};
  std::mutex progress_mutex_;
  std::condition_variable progress_;
  std::atomic<const Flight*> awaited_{nullptr};
  std::atomic<bool> poisoned_{false};
  bool stopping_ = false;  // under progress_mutex_
  std::exception_ptr error_;  // under progress_mutex_
};

}  // namespace gsnake::runtime
