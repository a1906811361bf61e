#include "schedule/step.h"

#include <algorithm>
#include <set>
#include <utility>

namespace gsnake::schedule {
namespace {

bool is_training(Variant v) { return v == Variant::train || v == Variant::train_first; }
bool is_pending(Variant v) { return v == Variant::train || v == Variant::validate_pending || v == Variant::finish_pending; }

}  // namespace

StepEmitter::StepEmitter(const Map& map, Variant variant, Emitter::Purpose purpose)
    : map_(map), variant_(variant), training_(is_training(variant)), pending_(is_pending(variant)), emitter_(map, variant, purpose),
      chunks_(emitter_, map), activations_(emitter_, map), batch_(emitter_, map) {
  if (variant == Variant::load) return;
  for (int c = 0; c < static_cast<int>(map.chunks.size()); ++c) {
    if (carries(c)) chunks_.adopt_weight(c, emitter_.acquire(map.pool(PoolRole::host_chunk)));
  }
}

namespace {

// Where a piece of work stands in its list: its group's place and its own in that, as the fraction numerator / denominator.
struct Position {
  std::uint64_t numerator = 0;
  std::uint64_t denominator = 1;
};

std::vector<std::pair<Position, std::function<void()>>> placed(std::vector<std::vector<std::function<void()>>> groups) {
  std::vector<std::pair<Position, std::function<void()>>> all;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const std::size_t size = groups[group].size();
    for (std::size_t i = 0; i < size; ++i) all.emplace_back(Position{group * size + i, groups.size() * size}, std::move(groups[group][i]));
  }
  return all;
}

}  // namespace

// So that both proceed evenly; what begins a group has a place that does not depend on how much is in any.
std::vector<StepEmitter::Work> StepEmitter::merge(Background a, Background b) {
  auto first = placed(std::move(a.groups));
  auto second = placed(std::move(b.groups));
  std::vector<Work> merged;
  std::size_t i = 0;
  std::size_t j = 0;
  const auto first_is_due = [&] {
    const Position& p = first[i].first;
    const Position& q = second[j].first;
    return p.numerator * q.denominator <= q.numerator * p.denominator;
  };
  while (i < first.size() || j < second.size()) {
    const bool take_first = j == second.size() || (i < first.size() && first_is_due());
    merged.push_back(std::move(take_first ? first[i++].second : second[j++].second));
  }
  return merged;
}

Graph StepEmitter::emit() {
  if (variant_ == Variant::load) {
    emit_load();
  } else if (variant_ == Variant::finish || variant_ == Variant::finish_pending) {
    emit_finish();
  } else {
    visits_ = training_ ? training_visits(map_.problem) : forward_visits(map_.problem);
    note_uses();
    ids_.resize(visits_.size());
    batch_.open();
    emit_visits();
    batch_.close();
  }
  return emitter_.finish(carry_on());
}

std::vector<int> StepEmitter::carry_on() {
  std::vector<int> buffers;
  for (int c = 0; c < static_cast<int>(map_.chunks.size()); ++c) {
    if (carries(c)) buffers.push_back(chunks_.host_weight(c));
  }
  return buffers;
}

void StepEmitter::emit_load() {
  for (std::size_t c = 0; c < map_.chunks.size(); ++c) chunks_.load_homes(static_cast<int>(c));
}

void StepEmitter::emit_finish() {
  for (std::size_t i = 0; i < map_.chunks.size(); ++i) {
    const int c = static_cast<int>(i);
    if (pending_ && map_.chunks[c].delayed) chunks_.apply_delayed(c);
    if (pending_ && map_.chunks[c].gradient_waits && !map_.chunks[c].delayed) chunks_.revise(c);
    if (!carries(c)) chunks_.drop_weight(c);
    // What is updated here is written at once where the step commits, as it does then.
    const bool written = map_.problem.commits && pending_ && map_.chunks[c].delayed;
    if (!written) chunks_.flush_homes(c);
  }
  if (pending_) chunks_.inspect(-1);
  if (map_.problem.commits) chunks_.commit(-1);
}

// The visit before which the previous step's update is complete: the one after which every trained object has been used.
std::size_t StepEmitter::turn() const {
  std::size_t last = 0;
  for (std::size_t v = 0; v < uses_.size(); ++v) {
    for (const Use& use : uses_[v]) {
      if (use.first && map_.problem.object(use.object).trained) last = v;
    }
  }
  return last;
}

std::vector<StepEmitter::Use> StepEmitter::uses_of(const Visit& visit) const {
  std::vector<Use> uses;
  for (int object : map_.problem.uses(visit.unit)) {
    const std::vector<int>& users = map_.users[object];
    const auto user = static_cast<std::size_t>(std::find(users.begin(), users.end(), visit.unit) - users.begin());
    uses.push_back({.object = object, .user = user, .gathers = differentiates(visit) && map_.problem.object(object).trained});
  }
  return uses;
}

// An object's sum ends with the backward of its first user, which every schedule runs last.
void StepEmitter::note_uses() {
  std::vector<bool> used(map_.problem.objects.size(), false);
  std::set<std::pair<int, std::size_t>> has_sum;
  for (const Visit& visit : visits_) {
    for (Use& use : uses_.emplace_back(uses_of(visit))) {
      use.first = !used[use.object];
      used[use.object] = true;
      use.first_gradient = use.gathers && has_sum.insert({use.object, use.user}).second;
    }
  }
  std::vector<bool> ended(map_.problem.objects.size(), false);
  for (std::size_t v = visits_.size(); v-- > 0;) {
    for (Use& use : uses_[v]) {
      use.last = !ended[use.object];
      use.last_gradient = use.last && use.gathers;
      ended[use.object] = true;
    }
  }
}

StepEmitter::Background StepEmitter::prepare(std::size_t v) {
  Background work;
  for (Use& use : uses_[v]) prepare_weights(v, use, work);
  prepare_ids(v, work);
  return work;
}

int StepEmitter::part_slot(PoolRole role, int object) {
  const bool weights = role == PoolRole::device_weight_parts;
  return emitter_.acquire(map_.pool_of(role, weights ? map_.part_weight_bytes(object) : map_.part_gradient_bytes(object)));
}

// Of several ranks, each brings its part to the device, from where all get the whole.
void StepEmitter::prepare_weights(std::size_t v, Use& use, Background& work) {
  use.weights = emitter_.acquire(map_.pool_of(PoolRole::device_weights, map_.slot_weight_bytes(use.object)));
  if (shares()) work.add([this, &use] { use.part = part_slot(PoolRole::device_weight_parts, use.object); });
  for_chunks_of(use.object, [&](int c) {
    const Chunk& chunk = map_.chunks[c];
    const bool updated_next = use.last_gradient && !chunk.delayed && !map_.object_of(chunk).weights_derived;
    const bool keep = updated_next || (carries(c) && (!training_ || use.last));
    const bool completes = pending_ && use.first;
    const bool revise = completes && chunk.gradient_waits && !chunk.delayed;
    work.add([this, c, &use, apply = completes && chunk.delayed, revise, keep] {
      if (revise) chunks_.revise(c);
      chunks_.fetch(c, shares() ? use.part : use.weights, apply, keep);
    });
  });
  if (pending_ && use.first && chunks_.delays_on_device(use.object)) work.add([this] { chunks_.deliver(); });
  if (!shares()) return;
  work.begin_group();
  work.add([this, &use, &visit = visits_[v]] {
    chunks_.gather(visit.unit, visit.micro_batches.front(), use.object, use.part, use.weights);
    emitter_.release(use.part);
  });
}

// All of a visit's at once, and behind its weights: in no way does the lane that brings both hold up a micro-batch for its few ids.
void StepEmitter::prepare_ids(std::size_t v, Background& work) {
  const Visit& visit = visits_[v];
  if (visit.unit > 0 && visit.pass != Pass::head) return;
  const BatchPart part = visit.pass == Pass::head ? BatchPart::labels : BatchPart::ids;
  for (int m : visit.micro_batches) {
    work.add([this, v, part, unit = visit.unit, m] { ids_[v].push_back(batch_.fetch(part, unit, m)); });
  }
}

// Of several ranks, what a visit gathers is added to what waits of the visits before once it is everybody's.
void StepEmitter::open_sums(std::size_t v) {
  for (Use& use : uses_[v]) {
    if (!use.gathers) continue;
    use.accumulator = emitter_.acquire(map_.pool_of(PoolRole::device_gradients, map_.slot_gradient_bytes(use.object)));
    if (!use.first_gradient && !shares()) for_chunks_of(use.object, [&](int c) { chunks_.restore_partial(c, use.user, use.accumulator); });
  }
}

// Right behind what has finished them, all at once: nothing of the next visit waits for a sum to leave the device.
void StepEmitter::look_at_sums(std::size_t v) {
  for (const Use& use : uses_[v]) {
    if (use.last_gradient) for_chunks_of(use.object, [&](int c) { chunks_.look(c, use.accumulator); });
  }
  chunks_.release_norms();
}

StepEmitter::Background StepEmitter::settle(std::size_t v) {
  Background work;
  for (Use& use : uses_[v]) {
    if (use.gathers) settle_use(v, use, work);
  }
  return work;
}

void StepEmitter::settle_use(std::size_t v, Use& use, Background& work) {
  if (shares()) {
    work.begin_group();
    work.add([this, &use, &visit = visits_[v]] {
      use.part = part_slot(PoolRole::device_gradient_parts, use.object);
      chunks_.scatter(visit.unit, visit.micro_batches.front(), use.object, use.accumulator, use.part);
      emitter_.release(use.accumulator);
    });
  }
  for_chunks_of(use.object, [&](int c) { work.add([this, c, &use] { take_away(c, use); }); });
  Work& last = work.groups.back().back();
  last = [this, &use, before = std::move(last)] {
    before();
    emitter_.release(shares() ? use.part : use.accumulator);
  };
}

void StepEmitter::take_away(int c, const Use& use) {
  const int sum = shares() ? use.part : use.accumulator;
  if (use.last_gradient) {
    chunks_.take_gradient(c, sum, shares() && !use.first_gradient ? use.user : 1);
    if (!carries(c)) chunks_.drop_weight(c);
  } else if (shares() && !use.first_gradient) {
    chunks_.add_to_partial(c, use.user, sum);
  } else {
    chunks_.save_partial(c, use.user, sum);
  }
}

void StepEmitter::emit_visits() {
  for (const Work& work : merge(prepare(0), {})) work();
  Background settling;
  const std::size_t turning = turn();
  for (std::size_t v = 0; v < visits_.size(); ++v) {
    if (pending_ && v == turning) chunks_.inspect(-1);
    if (map_.problem.commits && pending_ && v == turning) chunks_.commit(-1);
    open_sums(v);
    Background fetching;
    if (v + 1 < visits_.size()) fetching = prepare(v + 1);
    emit_visit(v, merge(std::move(settling), std::move(fetching)));
    for (const Use& use : uses_[v]) emitter_.release(use.weights);
    look_at_sums(v);
    settling = settle(v);
  }
  for (const Work& work : merge(std::move(settling), {})) work();
  chunks_.release_norms();
  if (training_) chunks_.inspect(0);
  chunks_.conclude(training_);
  if (map_.problem.commits && training_ && !leaves_updates(map_.problem)) chunks_.commit(0);
}

// The background moves on evenly with the visit's micro-batches, so that the lanes that run in order are not held up by it.
void StepEmitter::emit_visit(std::size_t v, std::vector<Work> background) {
  std::size_t done = 0;
  const std::size_t count = visits_[v].micro_batches.size();
  for (std::size_t i = 0; i < count; ++i) {
    emit_compute(v, i);
    for (; done < background.size() * (i + 1) / count; ++done) background[done]();
  }
}

bool StepEmitter::next_consumes(std::size_t v, std::size_t i, const Tensor& tensor) const {
  const bool more = i + 1 < visits_[v].micro_batches.size();
  if (!more && v + 1 == visits_.size()) return false;
  const Visit& next = visits_[more ? v : v + 1];
  const int m = more ? next.micro_batches[i + 1] : next.micro_batches.front();
  if (m != tensor.micro_batch) return false;
  if (tensor.kind == TensorKind::gradient) return next.pass == Pass::backward && next.unit + 1 == tensor.unit;
  return next.unit == tensor.unit;
}

Task StepEmitter::compute_task(const Visit& visit, std::size_t i) const {
  Task task;
  task.lane = Lane::compute;
  task.unit = visit.unit;
  task.micro_batch = visit.micro_batches[i];
  task.opens = i == 0;
  task.last = i + 1 == visit.micro_batches.size();
  task.op = visit.pass == Pass::forward ? Op::forward : visit.pass == Pass::backward ? Op::backward : training_ ? Op::head : Op::head_forward;
  task.kept = training_ && visit.pass != Pass::head && map_.keeps(visit.unit, task.micro_batch);
  const Unit& unit = map_.problem.units[visit.unit];
  const double backward = task.kept ? unit.forwards_of_kept_backward() : unit.forwards_of_backward();
  task.flops = unit.forward_flops * (visit.pass == Pass::backward || task.op == Op::head ? backward : 1.0);
  return task;
}

std::vector<Access> StepEmitter::object_accesses(std::size_t v, bool opens) const {
  std::vector<Access> accesses;
  for (std::size_t i = 0; i < uses_[v].size(); ++i) {
    const Use& use = uses_[v][i];
    accesses.push_back({.role = Role::weights, .use = static_cast<std::uint16_t>(i), .resource = use.weights});
    if (!use.gathers) continue;
    const Mode mode = opens && (use.first_gradient || shares()) ? Mode::write : Mode::update;
    accesses.push_back({.role = Role::gradients, .mode = mode, .use = static_cast<std::uint16_t>(i), .resource = use.accumulator});
  }
  return accesses;
}

void StepEmitter::emit_compute(std::size_t v, std::size_t i) {
  const Visit& visit = visits_[v];
  const int m = visit.micro_batches[i];
  const Task task = compute_task(visit, i);
  std::vector<Access> accesses = object_accesses(v, task.opens);
  const Tensor input{TensorKind::checkpoint, visit.unit, m};
  const Tensor output_gradient{TensorKind::gradient, visit.unit + 1, m};
  if (!ids_[v].empty()) accesses.push_back({.role = Role::ids, .resource = ids_[v][i]});
  const bool reads_input = visit.unit > 0 && !(visit.pass == Pass::backward && task.kept);
  if (reads_input) accesses.push_back({.role = Role::input, .resource = activations_.consume(input)});
  if (visit.pass == Pass::backward) accesses.push_back({.role = Role::output_gradient, .resource = activations_.consume(output_gradient)});
  const int output = visit.pass == Pass::forward || makes_gradient(visit) ? activations_.new_output() : -1;
  const int loss = visit.pass == Pass::head ? batch_.new_loss() : -1;
  if (output >= 0) accesses.push_back({.role = Role::output, .mode = Mode::write, .resource = output});
  if (loss >= 0) accesses.push_back({.role = Role::losses, .mode = Mode::write, .resource = loss});
  if (task.op == Op::head && map_.problem.guard != Guard::none) accesses.push_back({.role = Role::outcome, .resource = map_.outcome_home});  // its loss scale
  emitter_.add(task, accesses);

  if (!ids_[v].empty()) emitter_.release(ids_[v][i]);
  if (reads_input) activations_.consumed(input);
  if (visit.pass == Pass::backward) activations_.consumed(output_gradient);
  if (loss >= 0) batch_.bring_back(loss, visit.unit, m);
  keep_output(v, i, output);
}

void StepEmitter::keep_output(std::size_t v, std::size_t i, int output) {
  const Visit& visit = visits_[v];
  const int m = visit.micro_batches[i];
  if (visit.pass == Pass::forward) {
    const Tensor made{TensorKind::checkpoint, visit.unit + 1, m};
    const bool recomputed = training_ && made.unit + 1 < map_.problem.unit_count() && made.unit >= map_.first_trained_unit && !map_.keeps(made.unit, m);
    activations_.produced(made, output, recomputed ? 2 : 1, next_consumes(v, i, made));
  } else if (makes_gradient(visit)) {
    const Tensor made{TensorKind::gradient, visit.unit, m};
    activations_.produced(made, output, 1, next_consumes(v, i, made));
  }
}

}  // namespace gsnake::schedule
