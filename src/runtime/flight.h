// One graph while it runs: what each task still waits for, which slots it uses, when it ran.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "optim/optimizer.h"
#include "runtime/compute.h"
#include "runtime/outcome.h"
#include "schedule/footprint.h"
#include "schedule/graph.h"

namespace gsnake::runtime {

using schedule::Lane;
using schedule::TaskId;

// A graph with what the executor derives from it once.
struct PreparedGraph {
  const schedule::Graph* graph = nullptr;
  std::vector<std::vector<TaskId>> lane_tasks;       // by lane, in emission order
  std::vector<std::int32_t> lane_position;           // by task: its place among its lane's
  std::vector<std::uint32_t> first_device_source;    // CSR by task: predecessors on other device lanes, which it follows in its stream
  std::vector<TaskId> device_sources;
};

PreparedGraph prepare(const schedule::Graph& graph);

// The edges from one graph to the one started after it.
struct PreparedJoin {
  std::vector<std::uint32_t> first_successor;  // CSR by task of the earlier graph
  std::vector<TaskId> successors;
  std::vector<std::int32_t> predecessors;      // by task of the later graph

  [[nodiscard]] std::span<const TaskId> successors_of(TaskId task) const {
    const auto i = static_cast<std::size_t>(task);
    return {successors.data() + first_successor[i], first_successor[i + 1] - first_successor[i]};
  }
};

PreparedJoin prepare_join(const schedule::Graph& previous, const schedule::Graph& next, const std::vector<schedule::Edge>& edges);

bool is_device_lane(Lane lane);

// A training step, as the executor counts them and as its batch does.
struct TrainingRef {
  std::int64_t number = -1;  // from 0; -1: none
  std::int64_t step = 0;
};

struct TaskTimes {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

class Flight;

// A task of a flight, as an element of a list.
struct Link {
  Flight* flight = nullptr;
  TaskId task = -1;
};

// Allocated once for the largest graph; two of them take turns.
class Flight {
 public:
  Flight(std::size_t tasks, std::size_t buffers);

  const PreparedGraph* prepared = nullptr;
  std::int64_t sequence = -1;
  StepBatch* batch = nullptr;              // until its results were awaited
  std::int64_t step = 0;                   // of the batch; 0: none
  schedule::Conditions conditions;
  TrainingRef own;                         // the training step that this graph is
  TrainingRef previous;                    // the newest one before it
  StepOutcome* outcome = nullptr;          // of `own`, if there is one
  StepOutcome* before = nullptr;           // of `previous`; of a run's first step, a place holder
  bool guarded = false;                    // the problem's updates wait for their step's outcome
  std::vector<std::int32_t> physical;      // which buffer of the map each buffer of the graph is
  std::vector<TaskTimes> times;            // by task
  std::vector<Link> links;                 // by task: what follows it in a list of tasks that are passed over
  std::array<std::int64_t, schedule::kLaneCount> first_number{};  // by device lane: tasks that it was given in the graphs before
  std::unique_ptr<std::atomic<std::int32_t>[]> waiting;     // by task: edges still open
  std::unique_ptr<std::atomic<std::uint8_t>[]> join_state;  // by task: see kOpen
  std::atomic<std::int32_t> tasks_all{0};                   // what tasks_left began with
  std::atomic<std::int32_t> tasks_left{0};                  // and one for every lane that has yet to pass through
  std::atomic<bool> has_results{false};
  // The graph started after this one; set before any join_state becomes kJoined.
  const PreparedJoin* join_out = nullptr;
  Flight* next = nullptr;

  [[nodiscard]] const schedule::Graph& graph() const { return *prepared->graph; }
  [[nodiscard]] const schedule::Task& task(TaskId id) const { return graph().tasks[static_cast<std::size_t>(id)]; }
  // Of a task on a device lane, among all that the lane is ever given.
  [[nodiscard]] std::int64_t number_of(TaskId id) const {
    return first_number[static_cast<std::size_t>(task(id).lane)] + prepared->lane_position[static_cast<std::size_t>(id)];
  }
  // Once the task's edges are settled: whether it depends on the outcome of the step before is known then, and so is that outcome.
  [[nodiscard]] bool carries_out(TaskId id) const;
  [[nodiscard]] bool ended() const { return tasks_left.load(std::memory_order_acquire) == 0; }
};

static_assert(sizeof(TaskTimes) + sizeof(Link) + sizeof(std::atomic<std::int32_t>) + sizeof(std::atomic<std::uint8_t>) <=
              schedule::kBytesPerTaskInFlight);

// What the graph's training step starts from: known once what it waits for has ended.
inline const StepCounters& counters_of(const Flight& flight) { return flight.guarded ? flight.before->verdict.after : flight.outcome->before; }

// Of the step that an update belongs to.
inline StepOutcome& outcome_of(const Flight& flight, const schedule::Task& update) { return update.step_offset < 0 ? *flight.before : *flight.outcome; }
// Once what the update waits for has ended. An update that comes after its step knows what became of it, where there is a guard.
inline optim::StepScalars scalars_of(const Flight& flight, const schedule::Task& update, const Policy& policy) {
  const bool late = update.step_offset < 0;
  if (late && flight.guarded) return flight.before->verdict.scalars;
  return unclipped(policy, late ? flight.before->before : counters_of(flight));
}

// Settles a task's edges into the next graph exactly once, whether it ends before or after that graph is joined: who comes second does it.
inline constexpr std::uint8_t kOpen = 0;
inline constexpr std::uint8_t kTaskDone = 1;
inline constexpr std::uint8_t kJoined = 2;

}  // namespace gsnake::runtime
