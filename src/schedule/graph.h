// The task graph of a step as plain data: what is executed, simulated, audited and drawn.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "schedule/map.h"

namespace gsnake::schedule {

using TaskId = std::int32_t;

// Resources that run tasks. compute, h2d, d2h and collective run their tasks in emission order; the others take what is ready, by priority.
enum class Lane : std::uint8_t { compute, h2d, d2h, ssd_read, ssd_write, optimizer, collective, commit };
inline constexpr int kLaneCount = 8;
inline constexpr std::array<const char*, kLaneCount> kLaneNames{"compute", "h2d", "d2h", "ssd_read", "ssd_write", "optimizer", "collective", "commit"};
constexpr bool runs_in_order(Lane lane) { return lane == Lane::compute || lane == Lane::h2d || lane == Lane::d2h || lane == Lane::collective; }

enum class Op : std::uint8_t {
  read,          // extent -> host buffer
  write,         // host buffer -> extent
  copy,          // between buffers, on h2d (also device to device) or d2h
  update,        // one chunk's optimizer step, in place, on the CPU or on the device; also its norm partials when the gradient is this step's own
  add,           // destination += source, fp32 gradients
  norm,          // norm partials of a gradient that waits, on the CPU or on the device
  forward,       // unit, micro-batch: output from input
  backward,      // recomputes forward, unless its activations were kept; gradients accumulate; output: gradient of the input
  head,          // forward and backward of the last unit
  head_forward,  // loss (or logits) only
  conclude,      // all losses and norm partials are there: the step's outcome is known
  all_gather,    // every rank's part of something -> the whole, on the device
  reduce_scatter,  // everybody's whole -> this rank's part of the sum, fp32, on the device
  commit,        // reads every extent of trained state, in the sense that what it finds there becomes durable: before the next update's writes
  inspect,       // are the new weights that the device has made fit to go on with?
};

inline constexpr int kOpCount = 15;
inline constexpr std::array<const char*, kOpCount> kOpNames{"read", "write",        "copy",     "update",     "add",            "norm",  "forward", "backward",
                                                            "head", "head_forward", "conclude", "all_gather", "reduce_scatter", "commit", "inspect"};

// Whether a task is carried out in a step; a task that is not still takes its turn, and moves nothing. It may depend on what is known
// when the graph is started, and on the outcome of the step whose update the task belongs to, for which it then waits.
enum class When : std::uint8_t {
  always,      // but for writes of an update that is skipped
  committing,  // the step whose update it belongs to is committed
  unflushed,   // finish: homes were not written when their step ended, since it was not to be committed
  revised,     // the update that was made before the outcome was known is done over, or undone
};

enum class Mode : std::uint8_t { read, write, update };  // update: read and written in place

enum class Role : std::uint8_t {
  source,           // read, write, copy, add, collectives; commit: every extent of state that is trained
  destination,      // read, write, copy, add, collectives
  weight,           // update: host or, as all that follows, device
  gradient,         // update, norm: host or device, where the task runs
  state0, state1, state2,
  norm,             // norm partials: written with the gradient at hand, read by conclude
  greatest,         // update: device, of all updates of an object since Mode::write; inspect: host, those of all objects
  inspected,        // written by inspect; conclude and commit wait for it
  losses,           // head: device, of the micro-batch; conclude: host, of all
  outcome,          // of a step: written by conclude
  weights,          // compute: device, an object that the unit uses (Access::use)
  gradients,        // backward, head: device, the accumulator of that use, if the object is trained; Mode::write: it starts from zero
  ids,              // compute: device; token ids for unit 0, labels for the head
  input,            // activation checkpoint: of all compute tasks but unit 0's and backward of what was kept
  output_gradient,  // backward: gradient of the unit's output
  output,           // forward: hidden states; backward, head: gradient of the input, where a unit below is trained
};

struct Access {
  Role role = Role::source;
  Mode mode = Mode::read;
  std::uint16_t use = 0;     // weights, gradients: which of the unit's objects, as Unit::objects has them
  std::int32_t resource = -1;
  std::uint64_t offset = 0;  // bytes from the start of a buffer
};

struct Task {
  Op op = Op::read;
  Lane lane = Lane::ssd_read;
  bool last = false;                // forward to head_forward: the last micro-batch of a visit
  std::int8_t step_offset = 0;      // update, what follows from it, commit: -1 belongs to the previous step
  bool opens = false;               // forward to head_forward: the first micro-batch of a visit
  bool committed = false;           // read: of the state that was committed last, not the newest
  bool kept = false;                // forward: its activations stay on the device; backward: and are used up, without the checkpoint
  When when = When::always;
  std::int32_t unit = -1;
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;
  std::int32_t priority = 0;        // of ready-queues: position of the compute task that waits for it; smaller first
  std::uint32_t first_access = 0;
  std::uint32_t accesses = 0;
  std::uint64_t bytes = 0;          // moved or, of updates, norms and on the optimizer lane, read and written; collectives: of the whole, all ranks' parts
  double flops = 0.0;
};

// Which graph. Pending: the previous step's delayed updates have not been applied yet.
enum class Variant : std::uint8_t { load, train_first, train, validate_pending, validate, finish_pending, finish };
inline constexpr int kVariantCount = 7;
inline constexpr std::array<const char*, kVariantCount> kVariantNames{
    "load", "train_first", "train", "validate_pending", "validate", "finish_pending", "finish"};

// What came of a step.
struct Outcome {
  bool skipped = false;   // its update changes nothing
  bool revised = false;   // what was updated before this was known is done over
  bool unsaved = true;    // the state is not that of the last commit
};

// What a graph is started with, and learns.
struct Conditions {
  bool commits_this = true;       // the step of the graph itself
  bool commits_previous = true;   // the step before
  bool unflushed = true;
  Outcome previous;               // of the step before

  [[nodiscard]] bool carry_out(const Task& task) const;
};

// Who touches a resource first and last in a graph: what joins it to its neighbours.
struct Boundary {
  std::vector<TaskId> first_readers;  // before any write
  TaskId first_writer = -1;
  TaskId last_writer = -1;
  std::vector<TaskId> last_readers;   // after the last write
};

struct Graph {
  Variant variant = Variant::train;
  std::vector<Task> tasks;
  std::vector<Access> access_list;
  std::vector<std::uint32_t> first_successor;  // CSR; tasks.size() + 1
  std::vector<TaskId> successors;
  std::vector<std::int32_t> predecessors;      // how many edges lead to each task
  std::vector<Boundary> boundaries;            // by resource
  // For every pool, its slots in the order in which the next graph shall name them: first those that carry unit 0's weights to
  // the next forward (Map::carried, in chunk order; host_chunk pool only), then the free ones, longest free first. Slot i of the next graph is slot
  // end_order[pool][i] of this one: so every graph begins and ends in the same map.
  std::vector<std::vector<std::int32_t>> end_order;

  [[nodiscard]] std::span<const Access> accesses(const Task& task) const { return {access_list.data() + task.first_access, task.accesses}; }
  [[nodiscard]] const Access* find(const Task& task, Role role, int use = 0) const;
  [[nodiscard]] std::span<const TaskId> successors_of(TaskId task) const {
    return {successors.data() + first_successor[task], first_successor[task + 1] - first_successor[task]};
  }
  // Of the tasks that are carried out.
  [[nodiscard]] std::uint64_t lane_bytes(Lane lane, const Conditions& conditions = {}) const;
};

struct Edge {
  TaskId from = -1;  // in the earlier graph
  TaskId to = -1;    // in the later one
};

// Edges that join `next` to `previous`. At most two graphs are in flight: whoever starts a third waits for the first to end, so a resource that
// `previous` does not touch needs no edge.
std::vector<Edge> join(const Map& map, const Graph& previous, const Graph& next);

// What may follow what. `delayed`: the problem has delayed chunks.
bool may_follow(Variant previous, Variant next, bool delayed);

// Every variant of a problem over one memory map.
struct Program {
  Map map;
  std::array<Graph, kVariantCount> graphs;  // pending variants are empty without delayed chunks; training ones where nothing is trained
  bool delayed = false;  // something of each update is left to the next step: delayed chunks, or what may be done over

  [[nodiscard]] const Graph& graph(Variant variant) const { return graphs[static_cast<std::size_t>(variant)]; }
};

Program build_program(const Problem& problem, const PoolSizes& sizes);
// Loading and training steps alone, which are what a simulation walks through; the other graphs are empty.
Program build_training_program(const Problem& problem, const PoolSizes& sizes);
// The fewest slots with which the program can be built. More let lanes run further ahead.
PoolSizes minimum_pools(const Problem& problem);

}  // namespace gsnake::schedule
