// One graph while it runs: what each task still waits for, which slots it uses, when it ran.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "optim/optimizer.h"
#include "runtime/compute.h"
#include "schedule/graph.h"

namespace gsnake::runtime {

using schedule::Lane;
using schedule::TaskId;

// A graph with what the executor derives from it once.
struct PreparedGraph {
  const schedule::Graph* graph = nullptr;
  std::vector<std::vector<TaskId>> lane_tasks;       // by lane, in emission order
  std::vector<std::uint32_t> first_device_source;    // CSR by task: predecessors on other device lanes, whose events it waits for
  std::vector<TaskId> device_sources;
  std::int32_t results = 0;                          // tasks that the step's loss and gradient norm wait for
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
// Whether the step's loss or gradient norm waits for it.
bool gives_result(const schedule::Task& task);

// A training step, as the executor counts them and as its batch does.
struct TrainingRef {
  std::int64_t number = -1;  // from 0; -1: none
  std::int64_t step = 0;
};

struct TaskTimes {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

// Allocated once for the largest graph; two of them take turns.
class Flight {
 public:
  Flight(std::size_t tasks, std::size_t buffers, std::size_t norm_partials, device::Device& device);

  const PreparedGraph* prepared = nullptr;
  std::int64_t sequence = -1;
  StepBatch* batch = nullptr;              // until its results were awaited
  std::int64_t step = 0;                   // of the batch; 0: none
  schedule::Conditions conditions;
  TrainingRef own;                         // the training step that this graph is
  TrainingRef previous;                    // the newest one before it
  optim::StepScalars scalars;
  optim::StepScalars previous_scalars;     // of the update that is pending
  std::vector<std::int32_t> physical;      // which buffer of the map each buffer of the graph is
  std::vector<double> norm_partials;       // by object, one per block of optim::kNormBlock elements
  std::vector<TaskTimes> times;            // by task
  std::vector<std::unique_ptr<device::Event>> events;       // by task; used by those on device lanes
  std::unique_ptr<std::atomic<std::int32_t>[]> waiting;     // by task: edges still open
  std::unique_ptr<std::atomic<std::uint8_t>[]> join_state;  // by task: see kOpen
  std::atomic<std::int32_t> tasks_left{0};                  // and one for every lane that has yet to pass through
  std::atomic<std::int32_t> results_left{0};                // and one until the step's outcome is known
  // The graph started after this one; set before any join_state becomes kJoined.
  const PreparedJoin* join_out = nullptr;
  Flight* next = nullptr;

  [[nodiscard]] const schedule::Graph& graph() const { return *prepared->graph; }
  [[nodiscard]] const schedule::Task& task(TaskId id) const { return graph().tasks[static_cast<std::size_t>(id)]; }
  [[nodiscard]] bool carries_out(TaskId id) const { return conditions.carry_out(task(id)); }
  [[nodiscard]] bool ended() const { return tasks_left.load(std::memory_order_acquire) == 0; }
};

// Settles a task's edges into the next graph exactly once, whether it ends before or after that graph is joined: who comes second does it.
inline constexpr std::uint8_t kOpen = 0;
inline constexpr std::uint8_t kTaskDone = 1;
inline constexpr std::uint8_t kJoined = 2;

}  // namespace gsnake::runtime
