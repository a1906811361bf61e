#include "audit/contents.h"

#include <algorithm>

#include "schedule/visits.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

constexpr std::uint64_t kGradientBytes = 4;

bool finishes(Variant variant) { return variant == Variant::finish || variant == Variant::finish_pending; }

}  // namespace

std::string describe(const Value* value) {
  if (value == nullptr) return "nothing";
  const std::string index = std::to_string(value->index);
  const std::string version = std::to_string(value->version);
  switch (value->holds) {
    case Holds::weight:
      return "weights of chunk " + index + " after " + version + " updates" + (value->own != 0 ? ", the last one to be done over" : "");
    case Holds::state:
      return "state " + std::to_string(value->index % kMaxStates) + " of chunk " + std::to_string(value->index / kMaxStates) + " after " +
             version + " updates" + (value->own != 0 ? ", the last one to be done over" : "");
    case Holds::gradient:
      return "gradient of chunk " + index + " of step " + version + ", sums " + std::to_string(value->own) + " and " +
             std::to_string(value->head);
    case Holds::checkpoint:
      return "checkpoint " + index + " of graph " + version;
    case Holds::norms:
      return "norm partials of chunk " + index + " of step " + version;
    case Holds::losses:
      return "loss of micro-batch " + index + " of graph " + version;
    case Holds::outcome:
      return "outcome of step " + version;
    case Holds::hidden_gradient:
      break;
  }
  return "hidden gradient " + index + " of graph " + version;
}

int Sums::append(int sum, int micro_batch) {
  const int fresh = static_cast<int>(next_.size()) + 1;
  return next_.try_emplace({sum, micro_batch}, fresh).first->second;
}

const Value* Contents::at(int resource, std::uint64_t offset, std::uint64_t bytes) const {
  for (const Run& run : runs_[static_cast<std::size_t>(resource)]) {
    if (run.offset == offset && run.bytes == bytes) return &run.value;
  }
  return nullptr;
}

void Contents::write(int resource, std::uint64_t offset, std::uint64_t bytes, const Value& value) {
  const Value copy = value;  // it may stand in this list
  std::vector<Run>& runs = runs_[static_cast<std::size_t>(resource)];
  std::erase_if(runs, [&](const Run& run) { return run.offset < offset + bytes && offset < run.offset + run.bytes; });
  runs.push_back({offset, bytes, copy});
}

Execution::Execution(const Sequence& sequence)
    : map_(*sequence.map), fates_(sequence.fates), contents_(map_.resources()), committed_(map_.resources()) {
  const Map& map = map_;
  Stage stage;
  for (int r = 0; r < map.resources(); ++r) stage.physical.push_back(r);
  for (const Graph* graph : sequence.graphs) {
    stage.graph = graph;
    stages_.push_back(stage);
    std::vector<int> physical;
    for (int r = 0; r < map.resources(); ++r) physical.push_back(stage.physical[static_cast<std::size_t>(renamed(map, *graph, r))]);
    stage.physical = std::move(physical);
    stage.steps_before += is_training(*graph) ? 1 : 0;
    ++stage.index;
  }
  expect_sums();
  write_initial_state();
}

void Execution::expect_sums() {
  own_sum_.assign(static_cast<std::size_t>(map_.problem.units()), 0);
  head_sum_ = own_sum_;
  if (!map_.problem.trains()) return;
  for (const Visit& visit : training_visits(map_.problem)) {
    if (visit.pass == Pass::forward) continue;
    int& own = own_sum_[static_cast<std::size_t>(visit.unit)];
    for (int m : visit.micro_batches) {
      own = sums_.append(own, m);
      if (visit.pass == Pass::head && map_.problem.tied) head_sum_[0] = sums_.append(head_sum_[0], m);
    }
  }
}

// Before the first graph, extents hold weights and state that no update has touched.
void Execution::write_initial_state() {
  for (std::size_t c = 0; c < map_.chunks.size(); ++c) {
    const Chunk& chunk = map_.chunks[c];
    const int index = static_cast<int>(c);
    for (Contents* contents : {&contents_, &committed_}) {
      contents->write(map_.extent_resource(chunk.weight_extent), 0, chunk.elements * map_.problem.weight_bytes, {Holds::weight, index});
      for (std::size_t k = 0; k < map_.problem.state_bytes.size(); ++k) {
        contents->write(map_.extent_resource(chunk.state_extent[k]), 0, chunk.elements * map_.problem.state_bytes[k],
                        {Holds::state, index * kMaxStates + static_cast<int>(k)});
      }
    }
  }
}

Fate Execution::fate(int step) const { return step >= 0 && step < static_cast<int>(fates_.size()) ? fates_[static_cast<std::size_t>(step)] : Fate::plain; }

int Execution::applied(int steps) const {
  int count = 0;
  for (int step = 0; step < steps; ++step) count += fate(step) == Fate::skipped ? 0 : 1;
  return count;
}

// As when every step is committed.
bool Execution::carried_out(const Stage& stage, const Task& task) const {
  const Fate before = fate(stage.steps_before - 1);
  Conditions conditions;
  conditions.previous = {before == Fate::skipped, before == Fate::revised, before != Fate::skipped};
  return conditions.carry_out(task);
}

// A write that would have replaced what a skipped step's early update wrote: what was committed counts again.
void Execution::undo(const Stage& stage, const Task& task) {
  if (task.when != When::revised || task.op != Op::write || fate(stage.steps_before - 1) != Fate::skipped) return;
  const Access& destination = *stage.graph->find(task, Role::destination);
  const Value* value = committed_.at(destination.resource, 0, task.bytes);
  if (value != nullptr) contents_.write(destination.resource, 0, task.bytes, *value);
}

void Execution::run(std::size_t graph, TaskId id) {
  const Stage& stage = stages_[graph];
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  if (!carried_out(stage, task)) return undo(stage, task);
  switch (task.op) {
    case Op::read:
    case Op::write:
    case Op::copy:
      return move(stage, id);
    case Op::update:
      return update(stage, id);
    case Op::add:
      return add(stage, id);
    case Op::norm:
      return norm(stage, id);
    case Op::conclude:
      return conclude(stage, id);
    case Op::commit:
      return commit(stage, id);
    default:
      return compute(stage, id);
  }
}

const Value* Execution::value_of(const Stage& stage, const Access& access, std::uint64_t bytes) const {
  return contents_.at(stage.physical[static_cast<std::size_t>(access.resource)], access.offset, bytes);
}

void Execution::write(const Stage& stage, const Access& access, std::uint64_t bytes, const Value& value) {
  contents_.write(stage.physical[static_cast<std::size_t>(access.resource)], access.offset, bytes, value);
}

void Execution::expect(const Stage& stage, TaskId id, const Access& access, std::uint64_t bytes, const Value& expected) {
  const Value* found = value_of(stage, access, bytes);
  if (found != nullptr && *found == expected) return;
  report_("graph " + std::to_string(stage.index) + ": " + name_of(*stage.graph, id) + " finds " + describe(found) + " in " +
          name_of(map_, access.resource) + " where it needs " + describe(&expected));
}

Value Execution::finished_gradient(int chunk, int step) const {
  const auto object = static_cast<std::size_t>(map_.chunks[static_cast<std::size_t>(chunk)].object);
  return {Holds::gradient, chunk, step, own_sum_[object], head_sum_[object]};
}

// Whatever moves must have been written by somebody; whether it is the right thing shows where it is used.
void Execution::move(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const Access& source = *stage.graph->find(task, Role::source);
  const Value* value = task.committed ? committed_.at(source.resource, source.offset, task.bytes) : value_of(stage, source, task.bytes);
  if (value == nullptr) {
    return report_("graph " + std::to_string(stage.index) + ": " + name_of(*stage.graph, id) + " moves what nobody wrote from " +
                   name_of(map_, source.resource));
  }
  write(stage, *stage.graph->find(task, Role::destination), task.bytes, *value);
}

void Execution::update(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t elements = map_.chunks[static_cast<std::size_t>(task.chunk)].elements;
  const int step = stage.steps_before + task.step_offset;
  const bool early = task.step_offset == 0;
  const bool skips = !early && fate(step) == Fate::skipped;
  const bool wrong = early && map_.problem.guard == Guard::speculative && fate(step) != Fate::plain;
  expect(stage, id, *stage.graph->find(task, Role::gradient), elements * kGradientBytes, finished_gradient(task.chunk, step));
  if (map_.problem.guard != Guard::none) expect_outcome(stage, id, early ? step - 1 : step);
  if (early) note_norms(stage, id);
  const auto advance = [&](Role role, std::uint64_t width, Value value) {
    const Access& access = *stage.graph->find(task, role);
    if (access.mode == Mode::update) expect(stage, id, access, elements * width, value);
    value.version += skips ? 0 : 1;
    value.own = wrong ? 1 : 0;
    write(stage, access, elements * width, value);
  };
  advance(Role::weight, map_.problem.weight_bytes, {Holds::weight, task.chunk, applied(step)});
  for (std::size_t k = 0; k < map_.problem.state_bytes.size(); ++k) {
    const auto role = static_cast<Role>(static_cast<std::size_t>(Role::state0) + k);
    advance(role, map_.problem.state_bytes[k], {Holds::state, task.chunk * kMaxStates + static_cast<int>(k), applied(step)});
  }
}

// Before the first step there is none.
void Execution::expect_outcome(const Stage& stage, TaskId id, int step) {
  if (step >= 0) expect(stage, id, *stage.graph->find(stage.graph->tasks[static_cast<std::size_t>(id)], Role::outcome), 8, {Holds::outcome, 0, step});
}

void Execution::note_norms(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = map_.chunks[static_cast<std::size_t>(task.chunk)].elements / kGrain * 8;
  const Access* norm = stage.graph->find(task, Role::norm);
  if (norm == nullptr) return report_(name_of(*stage.graph, id) + " has nowhere to put its norm partials");
  write(stage, *norm, bytes, {Holds::norms, task.chunk, stage.steps_before});
}

// All losses are this graph's and, in a training step, all norm partials this step's.
void Execution::conclude(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  for (int m = 0; m < map_.problem.micro_batches; ++m) {
    expect(stage, id, {Role::losses, Mode::read, map_.losses_home, static_cast<std::uint64_t>(m) * 8}, 8, {Holds::losses, m, stage.index});
  }
  if (!is_training(*stage.graph)) return;
  for (std::size_t c = 0; c < map_.chunks.size(); ++c) {
    const Chunk& chunk = map_.chunks[c];
    expect(stage, id, {Role::norm, Mode::read, chunk.norm_home, 0}, chunk.elements / kGrain * 8, {Holds::norms, static_cast<int>(c), stage.steps_before});
  }
  write(stage, *stage.graph->find(task, Role::outcome), 8, {Holds::outcome, 0, stage.steps_before});
}

// The head's finished share of a tied object is added to the finished sum of the unit itself.
void Execution::add(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = map_.chunks[static_cast<std::size_t>(task.chunk)].elements * kGradientBytes;
  const Value sum = finished_gradient(task.chunk, stage.steps_before);
  Value own = sum;
  own.head = 0;
  Value head = sum;
  head.own = 0;
  expect(stage, id, *stage.graph->find(task, Role::source), bytes, head);
  expect(stage, id, *stage.graph->find(task, Role::destination), bytes, own);
  write(stage, *stage.graph->find(task, Role::destination), bytes, sum);
}

void Execution::norm(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = map_.chunks[static_cast<std::size_t>(task.chunk)].elements * kGradientBytes;
  expect(stage, id, *stage.graph->find(task, Role::gradient), bytes, finished_gradient(task.chunk, stage.steps_before));
  note_norms(stage, id);
}

// Every extent of state holds the same step, and it is the one that is committed.
void Execution::commit(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const int version = applied(stage.steps_before + 1 + task.step_offset);
  expect_outcome(stage, id, stage.steps_before + task.step_offset);
  for (int extent = 0; extent < static_cast<int>(map_.extents.size()); ++extent) {
    const std::uint64_t bytes = map_.extents[static_cast<std::size_t>(extent)].bytes;
    const int resource = map_.extent_resource(extent);
    if (const Value* value = contents_.at(resource, 0, bytes); value != nullptr) committed_.write(resource, 0, bytes, *value);
  }
  for (std::size_t c = 0; c < map_.chunks.size(); ++c) {
    const Chunk& chunk = map_.chunks[c];
    const auto at = [&](int extent) { return Access{Role::source, Mode::read, map_.extent_resource(extent), 0}; };
    expect(stage, id, at(chunk.weight_extent), chunk.elements * map_.problem.weight_bytes, {Holds::weight, static_cast<int>(c), version});
    for (std::size_t k = 0; k < map_.problem.state_bytes.size(); ++k) {
      expect(stage, id, at(chunk.state_extent[k]), chunk.elements * map_.problem.state_bytes[k],
             {Holds::state, static_cast<int>(c * kMaxStates + k), version});
    }
  }
}

void Execution::compute(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const bool head = task.op == Op::head || task.op == Op::head_forward;
  const bool backward = task.op == Op::backward || task.op == Op::head;
  const bool tied = head && map_.problem.tied;
  check_weights(stage, id, Role::weights, task.unit);
  if (tied) check_weights(stage, id, Role::tied_weights, 0);
  if (task.unit > 0)
    check_activation(stage, id, Role::input, {Holds::checkpoint, activation_index(task.unit, task.micro_batch), stage.index});
  if (task.op == Op::backward) {
    check_activation(stage, id, Role::output_gradient,
                     {Holds::hidden_gradient, activation_index(task.unit + 1, task.micro_batch), stage.index});
  }
  if (backward) accumulate(stage, id, Role::gradients, task.unit, task.first);
  if (backward && tied) accumulate(stage, id, Role::tied_gradients, 0, task.tied_first);
  if (head) write(stage, *stage.graph->find(task, Role::losses), 8, {Holds::losses, task.micro_batch, stage.index});
  if (task.op == Op::head && map_.problem.guard != Guard::none) expect_outcome(stage, id, stage.steps_before - 1);
  const Access* output = stage.graph->find(task, Role::output);
  if (output == nullptr) return;
  const Value made = backward ? Value{Holds::hidden_gradient, activation_index(task.unit, task.micro_batch), stage.index}
                              : Value{Holds::checkpoint, activation_index(task.unit + 1, task.micro_batch), stage.index};
  write(stage, *output, map_.slot_activation_bytes(), made);
}

// All chunks, each with every update of the training steps before.
void Execution::check_weights(const Stage& stage, TaskId id, Role role, int object) {
  Access access = *stage.graph->find(stage.graph->tasks[static_cast<std::size_t>(id)], role);
  const std::uint64_t start = access.offset;
  const auto u = static_cast<std::size_t>(object);
  for (int c = map_.first_chunk[u]; c < map_.first_chunk[u + 1]; ++c) {
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
    access.offset = start + chunk.begin * map_.problem.weight_bytes;
    expect(stage, id, access, chunk.elements * map_.problem.weight_bytes, {Holds::weight, c, applied(stage.steps_before)});
  }
}

void Execution::check_activation(const Stage& stage, TaskId id, Role role, const Value& expected) {
  expect(stage, id, *stage.graph->find(stage.graph->tasks[static_cast<std::size_t>(id)], role), map_.slot_activation_bytes(), expected);
}

// Only this step's gradients of this user may stand in an accumulator that goes on; which micro-batches shows when the sum is used.
void Execution::accumulate(const Stage& stage, TaskId id, Role role, int object, bool first) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  Access access = *stage.graph->find(task, role);
  const std::uint64_t start = access.offset;
  const auto u = static_cast<std::size_t>(object);
  for (int c = map_.first_chunk[u]; c < map_.first_chunk[u + 1]; ++c) {
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
    access.offset = start + chunk.begin * kGradientBytes;
    const std::uint64_t bytes = chunk.elements * kGradientBytes;
    Value sum{Holds::gradient, c, stage.steps_before};
    int& list = role == Role::gradients ? sum.own : sum.head;
    if (!first) {
      const Value* before = value_of(stage, access, bytes);
      if (before != nullptr && before->holds == Holds::gradient) list = role == Role::gradients ? before->own : before->head;
      expect(stage, id, access, bytes, sum);
    }
    list = sums_.append(list, task.micro_batch);
    write(stage, access, bytes, sum);
  }
}

void Execution::check_end() {
  if (stages_.empty()) return;
  check_carried(stages_.back());
  if (finishes(stages_.back().graph->variant)) check_flushed(stages_.back());
}

// The first slots of the chunk pool hold what the next forward starts with.
void Execution::check_carried(const Stage& stage) {
  const auto pool = static_cast<std::size_t>(map_.pool(PoolRole::host_chunk));
  std::size_t slot = 0;
  for (int c = map_.first_chunk[0]; c < map_.first_chunk[1]; ++c) {
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
    if (chunk.weight_tier != Tier::ssd) continue;
    const int resource = map_.pools[pool].first_buffer + stage.graph->end_order[pool][slot++];
    const bool ahead = is_training(*stage.graph) && !chunk.delayed;
    const bool wrong = ahead && fate(stage.steps_before) != Fate::plain;
    const Value expected{Holds::weight, c, applied(stage.steps_before) + (ahead ? 1 : 0), wrong ? 1 : 0};
    const Value* found = contents_.at(stage.physical[static_cast<std::size_t>(resource)], 0, chunk.elements * map_.problem.weight_bytes);
    if (found == nullptr || !(*found == expected))
      report_("at the end, a carried slot holds " + describe(found) + ", not " + describe(&expected));
  }
}

void Execution::check_flushed(const Stage& stage) {
  const auto require = [&](int extent, std::uint64_t bytes, const Value& expected) {
    const Value* found = contents_.at(map_.extent_resource(extent), 0, bytes);
    if (found == nullptr || !(*found == expected))
      report_("at the end, an extent holds " + describe(found) + ", not " + describe(&expected));
  };
  for (std::size_t c = 0; c < map_.chunks.size(); ++c) {
    const Chunk& chunk = map_.chunks[c];
    const int index = static_cast<int>(c);
    require(chunk.weight_extent, chunk.elements * map_.problem.weight_bytes, {Holds::weight, index, applied(stage.steps_before)});
    for (std::size_t k = 0; k < map_.problem.state_bytes.size(); ++k) {
      const int state = index * kMaxStates + static_cast<int>(k);
      require(chunk.state_extent[k], chunk.elements * map_.problem.state_bytes[k], {Holds::state, state, applied(stage.steps_before)});
    }
  }
}

}  // namespace gsnake::audit
