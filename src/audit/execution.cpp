#include "audit/execution.h"

#include <algorithm>

#include "schedule/visits.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

bool finishes(Variant variant) { return variant == Variant::finish || variant == Variant::finish_pending; }

}  // namespace

Execution::Execution(const Sequence& sequence)
    : map_(*sequence.map), fates_(sequence.fates), contents_(map_.resources()), committed_(map_.resources()), kept_(map_.problem), users_(users_of(map_.problem)) {
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

// Each user's micro-batches in the order of its visits, of several ranks those of each visit apart; then the first user's sum, and to that the others' in the order of their units.
void Execution::expect_sums() {
  const schedule::Problem& p = map_.problem;
  std::vector<std::vector<int>> sums;
  for (const std::vector<int>& users : users_) sums.emplace_back(users.size(), 0);
  for (const Visit& visit : p.trains() ? training_visits(p) : std::vector<Visit>()) {
    if (visit.pass == Pass::forward) continue;
    for (int object : p.uses(visit.unit)) {
      const std::size_t user = user_of(object, visit.unit);
      int& sum = sums[static_cast<std::size_t>(object)][user];
      if (p.ranks == 1) {
        for (int m : visit.micro_batches) sum = sums_.append(sum, user, m);
        continue;
      }
      int of_visit = 0;
      for (int m : visit.micro_batches) of_visit = sums_.append(of_visit, user, m);
      sum = sum == 0 ? of_visit : sums_.add(sum, of_visit);
    }
  }
  for (const std::vector<int>& of_users : sums) {
    int sum = of_users.front();
    for (std::size_t user = 1; user < of_users.size(); ++user) sum = sums_.add(sum, of_users[user]);
    finished_sum_.push_back(sum);
  }
}

std::size_t Execution::user_of(int object, int unit) const {
  const std::vector<int>& users = users_[static_cast<std::size_t>(object)];
  return static_cast<std::size_t>(std::find(users.begin(), users.end(), unit) - users.begin());
}

template <typename Work>
void Execution::for_state(int index, int updates, const Work& work) const {
  const Chunk& c = chunk(index);
  work(c.weight_extent, map_.weight_bytes(c), Value{Holds::weight, index, updates});
  for (std::size_t k = 0; k < map_.object_of(c).state_bytes.size(); ++k) {
    work(c.state_extent[k], map_.state_bytes(c, k), Value{Holds::state, index * kMaxStates + static_cast<int>(k), updates});
  }
}

// Before the first graph, extents hold weights and state that no update has touched.
void Execution::write_initial_state() {
  for (int c = 0; c < chunk_count(); ++c) {
    for (Contents* contents : {&contents_, &committed_}) {
      for_state(c, 0, [&](int extent, std::uint64_t bytes, const Value& value) { contents->write(map_.extent_resource(extent), 0, bytes, value); });
    }
  }
}

Fate Execution::fate(int step) const { return step >= 0 && step < static_cast<int>(fates_.size()) ? fates_[static_cast<std::size_t>(step)] : Fate::plain; }

int Execution::applied(int steps) const {
  int count = 0;
  for (int step = 0; step < steps; ++step) count += fate(step) == Fate::skipped ? 0 : 1;
  return count;
}

int Execution::applied(int index, int steps) const { return map_.object_of(chunk(index)).trained ? applied(steps) : 0; }

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

void Execution::start(std::size_t graph) {
  const Stage& stage = stages_[graph];
  if (!computes(*stage.graph)) return;
  for (const BatchPart part : {BatchPart::ids, BatchPart::labels}) {
    for (int m = 0; m < map_.problem.micro_batches; ++m) {
      const Access place{.role = Role::destination, .mode = Mode::write, .resource = map_.batch_slot(), .offset = map_.batch_offset(part, m)};
      write(stage, place, map_.problem.ids_bytes, {part == BatchPart::ids ? Holds::ids : Holds::labels, m, stage.index});
    }
  }
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
    case Op::inspect:
      return inspect(stage, id);
    case Op::conclude:
      return conclude(stage, id);
    case Op::all_gather:
    case Op::reduce_scatter:
      return move_between_ranks(stage, id);
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

Value Execution::finished_gradient(int index, int step) const {
  return {Holds::gradient, index, step, finished_sum_[static_cast<std::size_t>(chunk(index).object)]};
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

// Every rank runs the same graph: what a rank finds in its own part stands for the same of all others.
void Execution::move_between_ranks(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const bool gathers = task.op == Op::all_gather;
  const std::uint64_t part = task.bytes / static_cast<std::uint64_t>(map_.problem.ranks);
  const Access& source = *stage.graph->find(task, Role::source);
  const Access& destination = *stage.graph->find(task, Role::destination);
  const auto physical = [&](const Access& access) { return stage.physical[static_cast<std::size_t>(access.resource)]; };
  for (int place = 0; place < (gathers ? map_.problem.ranks : 1); ++place) {
    contents_.copy(physical(source), source.offset, part, physical(destination), destination.offset + static_cast<std::uint64_t>(place) * part);
  }
}

// Every extent of trained state holds the same step, and it is the one that is committed.
void Execution::commit(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const int version = applied(stage.steps_before + 1 + task.step_offset);
  expect_outcome(stage, id, stage.steps_before + task.step_offset);
  expect_inspected(stage, id, stage.steps_before + task.step_offset);
  for (int extent = 0; extent < static_cast<int>(map_.extents.size()); ++extent) {
    const std::uint64_t bytes = map_.extents[static_cast<std::size_t>(extent)].bytes;
    const int resource = map_.extent_resource(extent);
    if (const Value* value = contents_.at(resource, 0, bytes); value != nullptr) committed_.write(resource, 0, bytes, *value);
  }
  for (int c = 0; c < chunk_count(); ++c) {
    if (!map_.object_of(chunk(c)).trained) continue;
    for_state(c, version, [&](int extent, std::uint64_t bytes, const Value& value) {
      expect(stage, id, {.role = Role::source, .resource = map_.extent_resource(extent)}, bytes, value);
    });
  }
}

void Execution::compute(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const bool head = task.op == Op::head || task.op == Op::head_forward;
  const bool backward = task.op == Op::backward || task.op == Op::head;
  const int uses = static_cast<int>(map_.problem.uses(task.unit).size());
  for (int use = 0; use < uses; ++use) check_weights(stage, id, use);
  if (task.unit == 0 || head) check_ids(stage, id);
  if (task.kept) kept_.run(*stage.graph, stage.index, id, report_);
  if (task.unit > 0 && !(task.op == Op::backward && task.kept))
    check_activation(stage, id, Role::input, {Holds::checkpoint, activation_index(task.unit, task.micro_batch), stage.index});
  if (task.op == Op::backward) {
    check_activation(stage, id, Role::output_gradient,
                     {Holds::hidden_gradient, activation_index(task.unit + 1, task.micro_batch), stage.index});
  }
  for (int use = 0; backward && use < uses; ++use) accumulate(stage, id, use);
  if (head) write(stage, *stage.graph->find(task, Role::losses), map_.problem.result_bytes, {Holds::losses, task.micro_batch, stage.index});
  if (task.op == Op::head && map_.problem.guard != Guard::none) expect_outcome(stage, id, stage.steps_before - 1);
  const Access* output = stage.graph->find(task, Role::output);
  if (output == nullptr) return;
  const Value made = backward ? Value{Holds::hidden_gradient, activation_index(task.unit, task.micro_batch), stage.index}
                              : Value{Holds::checkpoint, activation_index(task.unit + 1, task.micro_batch), stage.index};
  write(stage, *output, map_.slot_activation_bytes(), made);
}

// Does `work(chunk, bytes before its part)` for each chunk at the place of every rank in a slot of the whole object.
template <typename Work>
void Execution::for_places(int object, std::uint64_t part_bytes, const Work& work) const {
  const auto o = static_cast<std::size_t>(object);
  for (int place = 0; place < map_.problem.ranks; ++place) {
    for (int c = map_.first_chunk[o]; c < map_.first_chunk[o + 1]; ++c) work(c, static_cast<std::uint64_t>(place) * part_bytes);
  }
}

// All chunks of every rank's part, each with every update of the training steps before.
void Execution::check_weights(const Stage& stage, TaskId id, int use) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  Access access = *stage.graph->find(task, Role::weights, use);
  const std::uint64_t start = access.offset;
  const int object = map_.problem.uses(task.unit)[static_cast<std::size_t>(use)];
  for_places(object, map_.part_weight_bytes(object), [&](int c, std::uint64_t place) {
    access.offset = start + place + map_.weight_offset(chunk(c));
    expect(stage, id, access, map_.weight_bytes(chunk(c)), {Holds::weight, c, applied(c, stage.steps_before)});
  });
}

void Execution::check_activation(const Stage& stage, TaskId id, Role role, const Value& expected) {
  expect(stage, id, *stage.graph->find(stage.graph->tasks[static_cast<std::size_t>(id)], role), map_.slot_activation_bytes(), expected);
}

void Execution::check_ids(const Stage& stage, TaskId id) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const Holds wanted = task.unit == 0 ? Holds::ids : Holds::labels;
  expect(stage, id, *stage.graph->find(task, Role::ids), map_.problem.ids_bytes, {wanted, task.micro_batch, stage.index});
}

// Only this step's gradients may stand in an accumulator that goes on; whose, and of which micro-batches, shows when the sum is used.
void Execution::accumulate(const Stage& stage, TaskId id, int use) {
  const Task& task = stage.graph->tasks[static_cast<std::size_t>(id)];
  const int object = map_.problem.uses(task.unit)[static_cast<std::size_t>(use)];
  if (!map_.problem.object(object).trained) return;
  Access access = *stage.graph->find(task, Role::gradients, use);
  const std::uint64_t start = access.offset;
  for_places(object, map_.part_gradient_bytes(object), [&](int c, std::uint64_t place) {
    access.offset = start + place + map_.gradient_offset(chunk(c));
    const std::uint64_t bytes = Map::gradient_bytes(chunk(c));
    Value sum{Holds::gradient, c, stage.steps_before};
    if (access.mode == Mode::update) {
      const Value* before = value_of(stage, access, bytes);
      if (before != nullptr) sum.sum = before->sum;
      expect(stage, id, access, bytes, sum);
    }
    sum.sum = sums_.append(sum.sum, user_of(object, task.unit), task.micro_batch);
    write(stage, access, bytes, sum);
  });
}

void Execution::check_end() {
  if (stages_.empty()) return;
  kept_.check_end(report_);
  check_carried(stages_.back());
  if (finishes(stages_.back().graph->variant)) check_flushed(stages_.back());
}

// The first slots of the chunk pool hold what the next forward starts with.
void Execution::check_carried(const Stage& stage) {
  const auto pool = static_cast<std::size_t>(map_.pool(PoolRole::host_chunk));
  const std::vector<bool> carried = carried_objects(map_.problem);
  std::size_t slot = 0;
  for (int c = 0; c < chunk_count(); ++c) {
    if (!carried[static_cast<std::size_t>(chunk(c).object)] || chunk(c).weight_tier != Tier::ssd) continue;
    const int resource = map_.pools[pool].first_buffer + stage.graph->end_order[pool][slot++];
    const bool ahead = is_training(*stage.graph) && map_.object_of(chunk(c)).trained && !chunk(c).delayed;
    const Value expected{Holds::weight, c, applied(c, stage.steps_before) + (ahead ? 1 : 0), 0, ahead && fate(stage.steps_before) != Fate::plain};
    const Value* found = contents_.at(stage.physical[static_cast<std::size_t>(resource)], 0, map_.weight_bytes(chunk(c)));
    if (found == nullptr || !(*found == expected))
      report_("at the end, a carried slot holds " + describe(found) + ", not " + describe(&expected));
  }
}

void Execution::check_flushed(const Stage& stage) {
  for (int c = 0; c < chunk_count(); ++c) {
    for_state(c, applied(c, stage.steps_before), [&](int extent, std::uint64_t bytes, const Value& expected) {
      const Value* found = contents_.at(map_.extent_resource(extent), 0, bytes);
      if (found == nullptr || !(*found == expected))
        report_("at the end, an extent holds " + describe(found) + ", not " + describe(&expected));
    });
  }
}

}  // namespace gsnake::audit
