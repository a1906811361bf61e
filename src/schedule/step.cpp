#include "schedule/step.h"

#include <algorithm>

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
      chunks_(emitter_, map), activations_(emitter_, map) {
  if (variant == Variant::load) return;
  for (int c = map.first_chunk[0]; c < map.first_chunk[1]; ++c) {
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
    emit_visits();
  }
  return emitter_.finish(carry_on());
}

std::vector<int> StepEmitter::carry_on() {
  std::vector<int> buffers;
  for (int c = map_.first_chunk[0]; c < map_.first_chunk[1]; ++c) {
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
    if (pending_ && !map_.chunks[c].delayed && map_.problem.guard == Guard::speculative) chunks_.revise(c);
    if (!carries(c)) chunks_.drop_weight(c);
    // What is updated here is written at once where the step commits, as it does then.
    const bool written = map_.problem.commits && pending_ && map_.chunks[c].delayed;
    if (!written) chunks_.flush_homes(c);
  }
  if (map_.problem.commits) chunks_.commit(-1);
}

// The visit before which the previous step's update is complete: the one after which every object has been used.
std::size_t StepEmitter::turn() const {
  std::size_t last = 0;
  for (std::size_t v = 0; v < uses_.size(); ++v) {
    for (const Use& use : uses_[v]) {
      if (use.first) last = v;
    }
  }
  return last;
}

void StepEmitter::note_uses() {
  const int units = map_.problem.units();
  std::vector<bool> used(units, false);
  std::vector<bool> has_sum(2 * units, false);
  for (const Visit& visit : visits_) {
    std::vector<Use>& uses = uses_.emplace_back();
    uses.push_back({.object = visit.unit, .user = 0});
    if (map_.problem.tied && visit.pass == Pass::head) uses.push_back({.object = 0, .user = 1});
    for (Use& use : uses) {
      use.first = !used[use.object];
      used[use.object] = true;
      if (!has_gradient(visit)) continue;
      use.first_gradient = !has_sum[use.user * units + use.object];
      has_sum[use.user * units + use.object] = true;
    }
  }
  // A tied object's sum ends with the embedding's backward, which every schedule runs after the head's.
  std::vector<bool> ended(units, false);
  for (std::size_t v = visits_.size(); v-- > 0;) {
    Use& use = uses_[v].front();
    use.last_gradient = has_gradient(visits_[v]) && !ended[use.object];
    if (use.last_gradient) ended[use.object] = true;
  }
}

std::vector<StepEmitter::Work> StepEmitter::prepare(std::size_t v) {
  std::vector<Work> work;
  for (Use& use : uses_[v]) {
    use.weights = emitter_.acquire(map_.pool_of(PoolRole::device_weights, map_.object_bytes(use.object)));
    for (int c = map_.first_chunk[use.object]; c < map_.first_chunk[use.object + 1]; ++c) {
      const bool delayed = map_.chunks[c].delayed;
      const bool updated_next = use.last_gradient && !delayed && !map_.problem.weights_derived;
      const bool keep = updated_next || (carries(c) && (!training_ || use.last_gradient));
      const bool completes = pending_ && use.first;
      const bool revise = completes && !delayed && map_.problem.guard == Guard::speculative;
      work.push_back([this, c, slot = use.weights, apply = completes && delayed, revise, keep] {
        if (revise) chunks_.revise(c);
        chunks_.fetch(c, slot, apply, keep);
      });
    }
  }
  return work;
}

void StepEmitter::open_sums(std::size_t v) {
  if (!has_gradient(visits_[v])) return;
  for (Use& use : uses_[v]) {
    use.accumulator = emitter_.acquire(map_.pool_of(PoolRole::device_gradients, map_.gradient_bytes(use.object)));
    if (use.first_gradient) continue;
    for (int c = map_.first_chunk[use.object]; c < map_.first_chunk[use.object + 1]; ++c) {
      chunks_.restore_partial(c, use.user, use.accumulator);
    }
  }
}

std::vector<StepEmitter::Work> StepEmitter::settle(std::size_t v) {
  std::vector<Work> work;
  if (!has_gradient(visits_[v])) return work;
  for (const Use& use : uses_[v]) {
    const int end = map_.first_chunk[use.object + 1];
    for (int c = map_.first_chunk[use.object]; c < end; ++c) {
      work.push_back([this, c, end, use] {
        if (use.last_gradient) {
          chunks_.take_gradient(c, use.accumulator, map_.problem.tied && use.object == 0);
          if (!carries(c)) chunks_.drop_weight(c);
        } else {
          chunks_.save_partial(c, use.user, use.accumulator);
        }
        if (c + 1 == end) emitter_.release(use.accumulator);
      });
    }
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

void StepEmitter::emit_compute(std::size_t v, std::size_t i) {
  const Visit& visit = visits_[v];
  const int m = visit.micro_batches[i];
  Task task;
  task.lane = Lane::compute;
  task.unit = visit.unit;
  task.micro_batch = m;
  task.opens = i == 0;
  task.last = i + 1 == visit.micro_batches.size();
  task.op = visit.pass == Pass::forward ? Op::forward : visit.pass == Pass::backward ? Op::backward : training_ ? Op::head : Op::head_forward;
  const double forward = map_.problem.forward_flops.empty() ? 0.0 : map_.problem.forward_flops[visit.unit];
  task.flops = forward * (visit.pass == Pass::backward ? 4.0 : task.op == Op::head ? 3.0 : 1.0);  // recomputation included

  std::vector<Access> accesses;
  for (const Use& use : uses_[v]) {
    const bool own = use.user == 0;
    accesses.push_back({own ? Role::weights : Role::tied_weights, Mode::read, use.weights, 0});
    if (!has_gradient(visit)) continue;
    const bool first = i == 0 && use.first_gradient;
    (own ? task.first : task.tied_first) = first;
    accesses.push_back({own ? Role::gradients : Role::tied_gradients, first ? Mode::write : Mode::update, use.accumulator, 0});
  }
  const Tensor input{TensorKind::checkpoint, visit.unit, m};
  const Tensor output_gradient{TensorKind::gradient, visit.unit + 1, m};
  if (visit.unit > 0) accesses.push_back({Role::input, Mode::read, activations_.consume(input), 0});
  if (visit.pass == Pass::backward) accesses.push_back({Role::output_gradient, Mode::read, activations_.consume(output_gradient), 0});
  const bool makes_gradient = has_gradient(visit) && visit.unit > 0;
  const bool has_output = visit.pass == Pass::forward || makes_gradient;
  const int output = has_output ? activations_.new_output() : -1;
  if (has_output) accesses.push_back({Role::output, Mode::write, output, 0});
  if (visit.pass == Pass::head) accesses.push_back({Role::losses, Mode::write, map_.losses_home, static_cast<std::uint64_t>(m) * 8});
  if (task.op == Op::head && map_.problem.guard != Guard::none) accesses.push_back({Role::outcome, Mode::read, map_.outcome_home, 0});  // its loss scale
  emitter_.add(task, accesses);

  if (visit.unit > 0) activations_.consumed(input);
  if (visit.pass == Pass::backward) activations_.consumed(output_gradient);
  if (visit.pass == Pass::forward) {
    const Tensor made{TensorKind::checkpoint, visit.unit + 1, m};
    const bool recomputed = training_ && made.unit + 1 < map_.problem.units();
    activations_.produced(made, output, recomputed ? 2 : 1, next_consumes(v, i, made));
  } else if (makes_gradient) {
    const Tensor made{TensorKind::gradient, visit.unit, m};
    activations_.produced(made, output, 1, next_consumes(v, i, made));
  }
}

}  // namespace gsnake::schedule
