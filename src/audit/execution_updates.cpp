// Updates on symbols, and what comes of steps.
#include <algorithm>

#include "audit/execution.h"

namespace gsnake::audit {

using namespace schedule;

void Execution::update(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const Chunk& c = chunk(task.chunk);
  const int step = stage.steps_before + task.step_offset;
  const bool early = task.step_offset == 0;
  const bool skips = !early && fate(step) == Fate::skipped;
  const bool wrong = early && map_.problem.guard == Guard::speculative && fate(step) != Fate::plain;
  expect(stage, id, *stage.graph->find(task, Role::gradient), Map::gradient_bytes(c), finished_gradient(task.chunk, step));
  if (map_.problem.guard != Guard::none) expect_outcome(stage, id, early ? step - 1 : step);
  if (early) note_norms(stage, id);
  if (task.lane == Lane::compute) note_greatest(stage, id, step);
  const auto advance = [&](Role role, std::uint64_t bytes, Value value) {
    const Access& access = *stage.graph->find(task, role);
    if (access.mode == Mode::update) expect(stage, id, access, bytes, value);
    value.version += skips ? 0 : 1;
    value.wrong = wrong;
    write(stage, access, bytes, value);
  };
  advance(Role::weight, map_.weight_bytes(c), {Holds::weight, task.chunk, applied(step)});
  for (std::size_t k = 0; k < map_.object_of(c).state_bytes.size(); ++k) {
    const auto role = static_cast<Role>(static_cast<std::size_t>(Role::state0) + k);
    advance(role, map_.state_bytes(c, k), {Holds::state, task.chunk * kMaxStates + static_cast<int>(k), applied(step)});
  }
}

// Before the first step there is none.
void Execution::expect_outcome(const Stage& stage, TaskId id, int step) {
  if (step >= 0) expect(stage, id, *stage.graph->find(stage.graph->tasks[static_cast<std::size_t>(id)], Role::outcome), 8, {Holds::outcome, 0, step});
}

void Execution::note_norms(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = Map::norm_bytes(chunk(task.chunk));
  const Access* norm = stage.graph->find(task, Role::norm);
  if (norm == nullptr) return report_(name_of(*stage.graph, id) + " has nowhere to put its norm partials");
  write(stage, *norm, bytes, {Holds::norms, task.chunk, stage.steps_before});
}

// The first of an object's chunks starts over; that all have been at it shows where somebody looks.
void Execution::note_greatest(const Stage& stage, TaskId id, int step) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const Access& access = *stage.graph->find(task, Role::greatest);
  Value greatest{Holds::greatest, chunk(task.chunk).object, step};
  if (access.mode == Mode::update) {
    if (const Value* before = value_of(stage, access, kGreatestBytes)) greatest.sum = before->sum;
    expect(stage, id, access, kGreatestBytes, greatest);
  }
  ++greatest.sum;
  write(stage, access, kGreatestBytes, greatest);
}

void Execution::inspect(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const bool late = task.step_offset < 0;
  const int step = stage.steps_before + task.step_offset;
  for (int object = 0; object < map_.problem.object_count(); ++object) {
    const auto first = map_.chunks.begin() + map_.first_chunk[static_cast<std::size_t>(object)];
    const auto last = map_.chunks.begin() + map_.first_chunk[static_cast<std::size_t>(object) + 1];
    const auto count = std::count_if(first, last, [&](const Chunk& c) { return c.updates_on_device && c.delayed == late; });
    if (count == 0) continue;
    const Access place{.role = Role::greatest, .resource = map_.greatest_home[static_cast<std::size_t>(object)]};
    expect(stage, id, place, kGreatestBytes, {Holds::greatest, object, step, static_cast<int>(count)});
  }
  write(stage, *stage.graph->find(task, Role::inspected), 8, {Holds::inspected, late ? 1 : 0, step});
}

bool Execution::updates_on_device(bool late) const {
  return std::any_of(map_.chunks.begin(), map_.chunks.end(), [&](const Chunk& c) { return c.updates_on_device && c.delayed == late; });
}

// Of a whole update that is committed, or of the eager part where there is no other.
void Execution::expect_inspected(const Stage& stage, TaskId id, int step) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  if (step < 0 || map_.inspected_home < 0) return;
  const bool late = task.op == Op::commit && updates_on_device(true);
  expect(stage, id, *stage.graph->find(task, Role::inspected), 8, {Holds::inspected, late ? 1 : 0, step});
}

// All losses are this graph's and, in a training step, all norm partials this step's.
void Execution::conclude(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = map_.problem.result_bytes;
  for (int m = 0; m < map_.problem.micro_batches; ++m) {
    expect(stage, id, {.role = Role::losses, .resource = map_.losses_home, .offset = static_cast<std::uint64_t>(m) * bytes}, bytes, {Holds::losses, m, stage.index});
  }
  if (!is_training(*stage.graph)) return;
  for (int c = 0; c < chunk_count(); ++c) {
    if (!map_.object_of(chunk(c)).trained) continue;
    expect(stage, id, {.role = Role::norm, .resource = chunk(c).norm_home}, Map::norm_bytes(chunk(c)), {Holds::norms, c, stage.steps_before});
  }
  if (updates_on_device(false)) expect_inspected(stage, id, stage.steps_before);
  write(stage, *stage.graph->find(task, Role::outcome), 8, {Holds::outcome, 0, stage.steps_before});
}

// What one user has gathered in this step joins what is already added up; whether all is, and in the right order, shows where the sum is used.
void Execution::add(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const std::uint64_t bytes = Map::gradient_bytes(chunk(task.chunk));
  const auto sum_in = [&](Role role) {
    const Access& access = *stage.graph->find(task, role);
    Value expected{Holds::gradient, task.chunk, stage.steps_before};
    const Value* found = value_of(stage, access, bytes);
    if (found != nullptr) expected.sum = found->sum;
    expect(stage, id, access, bytes, expected);
    return expected.sum;
  };
  const int share = sum_in(Role::source);
  const int sum = sums_.add(sum_in(Role::destination), share);
  write(stage, *stage.graph->find(task, Role::destination), bytes, {Holds::gradient, task.chunk, stage.steps_before, sum});
}

void Execution::norm(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  expect(stage, id, *stage.graph->find(task, Role::gradient), Map::gradient_bytes(chunk(task.chunk)), finished_gradient(task.chunk, stage.steps_before));
  note_norms(stage, id);
}

}  // namespace gsnake::audit
