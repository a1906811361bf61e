#include "schedule/step.h"

#include <algorithm>
#include <set>
#include <utility>

namespace gsnake::schedule {
namespace {

bool is_training(Variant v) { return v == Variant::train || v == Variant::train_first; }
bool is_pending(Variant v) { return v == Variant::train || v == Variant::validate_pending || v == Variant::finish_pending; }

// Two lists of work, merged so that both proceed evenly.
std::vector<std::function<void()>> merge(std::vector<std::function<void()>> a, std::vector<std::function<void()>> b) {
  std::vector<std::function<void()>> merged;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const bool take_a = j == b.size() || (i < a.size() && i * b.size() <= j * a.size());
    merged.push_back(std::move(take_a ? a[i++] : b[j++]));
  }
  return merged;
}

}  // namespace

StepEmitter::StepEmitter(const Map& map, Variant variant, Emitter::Purpose purpose)
    : map_(map), variant_(variant), training_(is_training(variant)), pending_(is_pending(variant)), emitter_(map, variant, purpose),
      chunks_(emitter_, map), activations_(emitter_, map), batch_(emitter_, map) {
  if (variant == Variant::load) return;
  for (int c = 0; c < static_cast<int>(map.chunks.size()); ++c) {
    if (carries(c)) chunks_.adopt_weight(c, emitter_.acquire(map.pool(PoolRole::host_chunk)));
  }
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

std::vector<StepEmitter::Work> StepEmitter::prepare(std::size_t v) {
  std::vector<Work> work;
  for (Use& use : uses_[v]) {
    use.weights = emitter_.acquire(map_.pool_of(PoolRole::device_weights, map_.slot_weight_bytes(use.object)));
    for_chunks_of(use.object, [&](int c) {
      const Chunk& chunk = map_.chunks[c];
      const bool updated_next = use.last_gradient && !chunk.delayed && !map_.object_of(chunk).weights_derived;
      const bool keep = updated_next || (carries(c) && (!training_ || use.last));
      const bool completes = pending_ && use.first;
      const bool revise = completes && chunk.gradient_waits && !chunk.delayed;
      work.push_back([this, c, slot = use.weights, apply = completes && chunk.delayed, revise, keep] {
        if (revise) chunks_.revise(c);
        chunks_.fetch(c, slot, apply, keep);
      });
    });
  }
  prepare_ids(v, work);
  return work;
}

// All of a visit's at once, and behind its weights: in no way does the lane that brings both hold up a micro-batch for its few ids.
void StepEmitter::prepare_ids(std::size_t v, std::vector<Work>& work) {
  const Visit& visit = visits_[v];
  if (visit.unit > 0 && visit.pass != Pass::head) return;
  const BatchPart part = visit.pass == Pass::head ? BatchPart::labels : BatchPart::ids;
  for (int m : visit.micro_batches) {
    work.push_back([this, v, part, unit = visit.unit, m] { ids_[v].push_back(batch_.fetch(part, unit, m)); });
  }
}

void StepEmitter::open_sums(std::size_t v) {
  for (Use& use : uses_[v]) {
    if (!use.gathers) continue;
    use.accumulator = emitter_.acquire(map_.pool_of(PoolRole::device_gradients, map_.slot_gradient_bytes(use.object)));
    if (!use.first_gradient) for_chunks_of(use.object, [&](int c) { chunks_.restore_partial(c, use.user, use.accumulator); });
  }
}

std::vector<StepEmitter::Work> StepEmitter::settle(std::size_t v) {
  std::vector<Work> work;
  for (const Use& use : uses_[v]) {
    if (!use.gathers) continue;
    for_chunks_of(use.object, [&](int c) {
      work.push_back([this, c, use] {
        if (use.last_gradient) {
          chunks_.take_gradient(c, use.accumulator);
          if (!carries(c)) chunks_.drop_weight(c);
        } else {
          chunks_.save_partial(c, use.user, use.accumulator);
        }
        if (c + 1 == map_.first_chunk[use.object + 1]) emitter_.release(use.accumulator);
      });
    });
  }
  return work;
}

void StepEmitter::emit_visits() {
  for (Work& work : prepare(0)) work();
  std::vector<Work> settling;
  const std::size_t turning = turn();
  for (std::size_t v = 0; v < visits_.size(); ++v) {
    if (map_.problem.commits && pending_ && v == turning) chunks_.commit(-1);
    open_sums(v);
    std::vector<Work> fetching;
    if (v + 1 < visits_.size()) fetching = prepare(v + 1);
    emit_visit(v, merge(std::move(settling), std::move(fetching)));
    for (const Use& use : uses_[v]) emitter_.release(use.weights);
    settling = settle(v);
  }
  for (Work& work : settling) work();
  chunks_.conclude(training_);
  const bool complete = std::none_of(map_.chunks.begin(), map_.chunks.end(), [](const Chunk& chunk) { return chunk.gradient_waits; });
  if (map_.problem.commits && training_ && complete) chunks_.commit(0);
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
  const Unit& unit = map_.problem.units[visit.unit];
  task.flops = unit.forward_flops * (visit.pass == Pass::backward || task.op == Op::head ? unit.forwards_of_backward() : 1.0);
  return task;
}

std::vector<Access> StepEmitter::object_accesses(std::size_t v, bool opens) const {
  std::vector<Access> accesses;
  for (std::size_t i = 0; i < uses_[v].size(); ++i) {
    const Use& use = uses_[v][i];
    accesses.push_back({.role = Role::weights, .use = static_cast<std::uint16_t>(i), .resource = use.weights});
    if (!use.gathers) continue;
    const Mode mode = opens && use.first_gradient ? Mode::write : Mode::update;
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
  if (visit.unit > 0) accesses.push_back({.role = Role::input, .resource = activations_.consume(input)});
  if (visit.pass == Pass::backward) accesses.push_back({.role = Role::output_gradient, .resource = activations_.consume(output_gradient)});
  const int output = visit.pass == Pass::forward || makes_gradient(visit) ? activations_.new_output() : -1;
  const int loss = visit.pass == Pass::head ? batch_.new_loss() : -1;
  if (output >= 0) accesses.push_back({.role = Role::output, .mode = Mode::write, .resource = output});
  if (loss >= 0) accesses.push_back({.role = Role::losses, .mode = Mode::write, .resource = loss});
  if (task.op == Op::head && map_.problem.guard != Guard::none) accesses.push_back({.role = Role::outcome, .resource = map_.outcome_home});  // its loss scale
  emitter_.add(task, accesses);

  if (!ids_[v].empty()) emitter_.release(ids_[v][i]);
  if (visit.unit > 0) activations_.consumed(input);
  if (visit.pass == Pass::backward) activations_.consumed(output_gradient);
  if (loss >= 0) batch_.bring_back(loss, visit.unit, m);
  keep_output(v, i, output);
}

void StepEmitter::keep_output(std::size_t v, std::size_t i, int output) {
  const Visit& visit = visits_[v];
  const int m = visit.micro_batches[i];
  if (visit.pass == Pass::forward) {
    const Tensor made{TensorKind::checkpoint, visit.unit + 1, m};
    const bool recomputed = training_ && made.unit + 1 < map_.problem.unit_count() && made.unit >= map_.first_trained_unit;
    activations_.produced(made, output, recomputed ? 2 : 1, next_consumes(v, i, made));
  } else if (makes_gradient(visit)) {
    const Tensor made{TensorKind::gradient, visit.unit, m};
    activations_.produced(made, output, 1, next_consumes(v, i, made));
  }
}

}  // namespace gsnake::schedule
