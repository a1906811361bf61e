#include "schedule/chunk_tasks.h"

#include "schedule/task_parts.h"

namespace gsnake::schedule {

ChunkTasks::ChunkTasks(Emitter& emitter, const Map& map)
    : emitter_(emitter), map_(map), chunk_pool_(map.pool(PoolRole::host_chunk)), held_(map.chunks.size(), -1), norms_(map.chunks.size(), -1) {}

ChunkTasks::Place ChunkTasks::weight_place(const Chunk& chunk) const {
  return {chunk.weight_home, chunk.weight_extent, chunk.weight_tier, map_.weight_bytes(chunk)};
}

ChunkTasks::Place ChunkTasks::state_place(const Chunk& chunk, std::size_t k) const {
  return {chunk.state_home[k], chunk.state_extent[k], chunk.state_tier, map_.state_bytes(chunk, k)};
}

void ChunkTasks::read(int chunk, int extent, int buffer, std::uint64_t bytes) {
  emitter_.add(chunk_task(Op::read, Lane::ssd_read, chunk, bytes), {from(map_.extent_resource(extent)), into(buffer)});
}

void ChunkTasks::write(int chunk, int extent, int buffer, std::uint64_t bytes, When when, int step_offset) {
  emitter_.add(chunk_task(Op::write, Lane::ssd_write, chunk, bytes, when, step_offset), {from(buffer), into(map_.extent_resource(extent))});
}

void ChunkTasks::copy(int chunk, Lane lane, Access source, Access destination, std::uint64_t bytes, When when, int step_offset) {
  emitter_.add(chunk_task(Op::copy, lane, chunk, bytes, when, step_offset), {source, destination});
}

int ChunkTasks::bring(int chunk, const Place& place, When when) {
  if (place.tier == Tier::host) return place.home;
  const int buffer = acquire();
  if (place.tier == Tier::ssd) {
    read(chunk, place.extent, buffer, place.bytes);
  } else {
    copy(chunk, Lane::d2h, from(place.home), into(buffer), place.bytes, when);
  }
  return buffer;
}

void ChunkTasks::store_back(int chunk, const Place& place, int buffer, int step_offset) {
  if (place.tier == Tier::ssd) {
    write(chunk, place.extent, buffer, place.bytes, When::always, step_offset);
  } else if (map_.problem.commits) {
    write(chunk, place.extent, buffer, place.bytes, When::committing, step_offset);
  }
  if (place.tier == Tier::device) copy(chunk, Lane::h2d, from(buffer), into(place.home), place.bytes);
}

void ChunkTasks::leave(const Place& place, int buffer) {
  if (place.tier != Tier::host) emitter_.release(buffer);
}

int ChunkTasks::host_weight(int chunk) {
  const Place place = weight_place(map_.chunks[chunk]);
  if (place.tier == Tier::host) return place.home;
  if (!holds(chunk)) held_[chunk] = bring(chunk, place);
  return held_[chunk];
}

void ChunkTasks::drop_weight(int chunk) {
  if (!holds(chunk)) return;
  emitter_.release(held_[chunk]);
  held_[chunk] = -1;
}

void ChunkTasks::fetch(int chunk, int device_slot, bool with_delayed, bool keep) {
  const Chunk& c = map_.chunks[chunk];
  const Place place = weight_place(c);
  const Access slot = into(device_slot, map_.weight_offset(c));
  if (place.tier == Tier::device && !with_delayed) return copy(chunk, Lane::h2d, from(place.home), slot, place.bytes);
  if (with_delayed && c.updates_on_device) return fetch_updated(chunk, slot, keep);
  if (with_delayed) apply_delayed(chunk);
  copy(chunk, Lane::h2d, from(host_weight(chunk)), slot, place.bytes);
  if (!keep || place.tier == Tier::device) drop_weight(chunk);
  deliver();
}

// Where an update finds the weights, or puts them where it does not read them.
int ChunkTasks::updated_weight(int chunk) {
  const Place place = weight_place(map_.chunks[chunk]);
  if (!object_of(chunk).weights_derived || place.tier == Tier::host) return host_weight(chunk);
  if (!holds(chunk)) held_[chunk] = acquire();
  return held_[chunk];
}

Task ChunkTasks::update_task(int chunk, Lane lane, int step_offset) const {
  const Object& o = object_of(chunk);
  std::uint64_t width = kGradientBytes + (o.weights_derived ? 1 : 2) * o.weight_bytes;
  for (std::uint64_t state : o.state_bytes) width += 2 * state;
  return chunk_task(Op::update, lane, chunk, map_.chunks[chunk].cells * width, When::always, step_offset);
}

// But for the states. An update that comes after its step waits for the outcome where there is a guard; one that comes before it waits for
// that of the step before, on which its scalars depend.
std::vector<Access> ChunkTasks::update_accesses(int chunk, int weight, const Access& gradient, int norm, int step_offset) const {
  const Mode mode = object_of(chunk).weights_derived ? Mode::write : Mode::update;
  std::vector<Access> accesses{{.role = Role::weight, .mode = mode, .resource = weight}, gradient};
  if (step_offset == 0) accesses.push_back({.role = Role::norm, .mode = Mode::write, .resource = norm});
  if (map_.problem.guard != Guard::none) accesses.push_back({.role = Role::outcome, .resource = map_.outcome_home});
  return accesses;
}

void ChunkTasks::update(int chunk, int gradient, int step_offset) {
  const Chunk& c = map_.chunks[chunk];
  const int weight = updated_weight(chunk);
  std::vector<Access> accesses = update_accesses(chunk, weight, {.role = Role::gradient, .resource = gradient}, c.norm_home, step_offset);
  std::vector<int> buffers;
  for (std::size_t k = 0; k < states(chunk); ++k) {
    buffers.push_back(bring(chunk, state_place(c, k)));
    accesses.push_back({.role = state_role(k), .mode = Mode::update, .resource = buffers.back()});
  }
  emitter_.add(update_task(chunk, Lane::optimizer, step_offset), accesses);
  store_back(chunk, weight_place(c), weight, step_offset);
  for (std::size_t k = 0; k < states(chunk); ++k) {
    store_back(chunk, state_place(c, k), buffers[k], step_offset);
    leave(state_place(c, k), buffers[k]);
  }
}

// On slots of its own: hardly ever carried out, it must not hold up those who fetch ahead.
void ChunkTasks::revise(int chunk) {
  const Chunk& c = map_.chunks[chunk];
  const int pool = map_.pool(PoolRole::host_redo);
  std::vector<int> borrowed;
  const auto from_commit = [&](int extent, int buffer, std::uint64_t bytes) {
    Task task = chunk_task(Op::read, Lane::ssd_read, chunk, bytes, When::revised);
    task.step_offset = -1;
    task.committed = true;
    emitter_.add(task, {from(map_.extent_resource(extent)), into(buffer), {.role = Role::outcome, .resource = map_.outcome_home}});
  };
  const auto borrow = [&] { return borrowed.emplace_back(emitter_.acquire(pool)); };
  const int weight = holds(chunk) ? held_[chunk] : borrow();
  const Place place = weight_place(c);
  if (!object_of(chunk).weights_derived) from_commit(c.weight_extent, weight, place.bytes);
  const int gradient = c.gradient_home >= 0 ? c.gradient_home : borrow();
  if (c.gradient_home < 0) {
    Task task = chunk_task(Op::read, Lane::ssd_read, chunk, gradient_bytes(chunk), When::revised);
    task.step_offset = -1;
    emitter_.add(task, {from(map_.extent_resource(c.gradient_extent)), into(gradient), {.role = Role::outcome, .resource = map_.outcome_home}});
  }
  std::vector<Access> accesses = update_accesses(chunk, weight, {.role = Role::gradient, .resource = gradient}, -1, -1);
  std::vector<int> buffers;
  for (std::size_t k = 0; k < states(chunk); ++k) {
    buffers.push_back(borrow());
    from_commit(c.state_extent[k], buffers.back(), state_place(c, k).bytes);
    accesses.push_back({.role = state_role(k), .mode = Mode::update, .resource = buffers.back()});
  }
  Task task = update_task(chunk, Lane::optimizer, -1);
  task.when = When::revised;
  emitter_.add(task, accesses);
  write(chunk, c.weight_extent, weight, place.bytes, When::revised, -1);
  for (std::size_t k = 0; k < buffers.size(); ++k) write(chunk, c.state_extent[k], buffers[k], state_place(c, k).bytes, When::revised, -1);
  for (int buffer : borrowed) emitter_.release(buffer);
}

void ChunkTasks::apply_delayed(int chunk) {
  const Chunk& c = map_.chunks[chunk];
  if (c.updates_on_device) return leave_device(weight_place(c), delayed_on_device(chunk));
  const bool waits_on_ssd = c.gradient_extent >= 0;
  const int gradient = waits_on_ssd ? acquire() : c.gradient_home;
  if (waits_on_ssd) read(chunk, c.gradient_extent, gradient, gradient_bytes(chunk));
  update(chunk, gradient, -1);
  if (waits_on_ssd) emitter_.release(gradient);
}

void ChunkTasks::add_share(int chunk, std::size_t user, int gradient) {
  const WaitingPlace& place = map_.chunks[chunk].partials[user];
  const bool waits_on_ssd = place.extent >= 0;
  const int share = waits_on_ssd ? acquire() : place.home;
  if (waits_on_ssd) read(chunk, place.extent, share, gradient_bytes(chunk));
  emitter_.add(chunk_task(Op::add, Lane::optimizer, chunk, 3 * gradient_bytes(chunk)),
               {from(share), {.role = Role::destination, .mode = Mode::update, .resource = gradient}});
  if (waits_on_ssd) emitter_.release(share);
}

void ChunkTasks::take_gradient(int chunk, int accumulator, std::size_t first_share) {
  const Chunk& c = map_.chunks[chunk];
  if (c.updates_on_device && !c.delayed) return update_from_sum(chunk, {.role = Role::gradient, .resource = accumulator, .offset = gradient_offset(chunk)});
  const bool pooled = c.gradient_home < 0;
  const int gradient = pooled ? acquire() : c.gradient_home;
  copy(chunk, Lane::d2h, from(accumulator, gradient_offset(chunk)), into(gradient), gradient_bytes(chunk));
  for (std::size_t user = first_share; user < c.partials.size(); ++user) add_share(chunk, user, gradient);
  if (!c.delayed) {
    update(chunk, gradient, 0);
  } else if (c.norm_on_device) {
    return_norm(chunk, norms_[chunk]);
    returned_.push_back(norms_[chunk]);
  } else {
    emitter_.add(chunk_task(Op::norm, Lane::optimizer, chunk, gradient_bytes(chunk)),
                 {{.role = Role::gradient, .resource = gradient}, {.role = Role::norm, .mode = Mode::write, .resource = c.norm_home}});
  }
  if (c.gradient_extent >= 0) write(chunk, c.gradient_extent, gradient, gradient_bytes(chunk));
  if (pooled) emitter_.release(gradient);
}

void ChunkTasks::save_partial(int chunk, std::size_t user, int accumulator) {
  const WaitingPlace& place = map_.chunks[chunk].partials[user];
  const bool to_ssd = place.extent >= 0;
  const int buffer = to_ssd ? acquire() : place.home;
  copy(chunk, Lane::d2h, from(accumulator, gradient_offset(chunk)), into(buffer), gradient_bytes(chunk));
  if (!to_ssd) return;
  write(chunk, place.extent, buffer, gradient_bytes(chunk));
  emitter_.release(buffer);
}

void ChunkTasks::restore_partial(int chunk, std::size_t user, int accumulator) {
  const WaitingPlace& place = map_.chunks[chunk].partials[user];
  const bool on_ssd = place.extent >= 0;
  const int buffer = on_ssd ? acquire() : place.home;
  if (on_ssd) read(chunk, place.extent, buffer, gradient_bytes(chunk));
  copy(chunk, Lane::h2d, from(buffer), into(accumulator, gradient_offset(chunk)), gradient_bytes(chunk));
  if (on_ssd) emitter_.release(buffer);
}

void ChunkTasks::add_to_partial(int chunk, std::size_t user, int sum) {
  const WaitingPlace& place = map_.chunks[chunk].partials[user];
  const bool on_ssd = place.extent >= 0;
  const int fresh = acquire();
  copy(chunk, Lane::d2h, from(sum, gradient_offset(chunk)), into(fresh), gradient_bytes(chunk));
  const int waiting = on_ssd ? acquire() : place.home;
  if (on_ssd) read(chunk, place.extent, waiting, gradient_bytes(chunk));
  emitter_.add(chunk_task(Op::add, Lane::optimizer, chunk, 3 * gradient_bytes(chunk)),
               {from(fresh), {.role = Role::destination, .mode = Mode::update, .resource = waiting}});
  emitter_.release(fresh);
  if (!on_ssd) return;
  write(chunk, place.extent, waiting, gradient_bytes(chunk));
  emitter_.release(waiting);
}

void ChunkTasks::gather(int unit, int micro_batch, int object, int part, int whole) {
  Task task = chunk_task(Op::all_gather, Lane::collective, -1, map_.slot_weight_bytes(object));
  task.unit = unit;
  task.micro_batch = micro_batch;
  emitter_.add(task, {from(part), into(whole)});
}

void ChunkTasks::scatter(int unit, int micro_batch, int object, int whole, int part) {
  Task task = chunk_task(Op::reduce_scatter, Lane::collective, -1, map_.slot_gradient_bytes(object));
  task.unit = unit;
  task.micro_batch = micro_batch;
  emitter_.add(task, {from(whole), into(part)});
}

void ChunkTasks::load(int chunk, const Place& place) {
  if (place.tier == Tier::ssd) return;
  const int buffer = place.tier == Tier::host ? place.home : acquire();
  read(chunk, place.extent, buffer, place.bytes);
  if (place.tier == Tier::host) return;
  copy(chunk, Lane::h2d, from(buffer), into(place.home), place.bytes);
  emitter_.release(buffer);
}

void ChunkTasks::flush(int chunk, const Place& place) {
  if (place.tier == Tier::ssd) return;
  const When when = map_.problem.commits ? When::unflushed : When::always;
  const int buffer = bring(chunk, place, when);
  write(chunk, place.extent, buffer, place.bytes, when);
  leave(place, buffer);
}

void ChunkTasks::load_homes(int chunk) {
  const Chunk& c = map_.chunks[chunk];
  load(chunk, weight_place(c));
  for (std::size_t k = 0; k < states(chunk); ++k) load(chunk, state_place(c, k));
}

void ChunkTasks::flush_homes(int chunk) {
  const Chunk& c = map_.chunks[chunk];
  if (!object_of(chunk).trained) return;
  flush(chunk, weight_place(c));
  for (std::size_t k = 0; k < states(chunk); ++k) flush(chunk, state_place(c, k));
}

void ChunkTasks::conclude(bool with_norms) {
  std::vector<Access> accesses{{.role = Role::losses, .resource = map_.losses_home}};
  Task task = chunk_task(Op::conclude, Lane::optimizer, -1, 0);
  if (with_norms) {
    if (map_.inspected_home >= 0) accesses.push_back({.role = Role::inspected, .resource = map_.inspected_home});
    for (const Chunk& c : map_.chunks) {
      if (map_.object_of(c).trained) accesses.push_back({.role = Role::norm, .resource = c.norm_home});
    }
    accesses.push_back({.role = Role::outcome, .mode = Mode::write, .resource = map_.outcome_home});
  }
  emitter_.add(task, accesses);
}

void ChunkTasks::commit(int step_offset) {
  std::vector<Access> accesses{{.role = Role::outcome, .resource = map_.outcome_home}};
  if (map_.inspected_home >= 0) accesses.push_back({.role = Role::inspected, .resource = map_.inspected_home});
  for (const Chunk& c : map_.chunks) {
    if (!map_.object_of(c).trained) continue;
    accesses.push_back(from(map_.extent_resource(c.weight_extent)));
    for (std::size_t k = 0; k < map_.object_of(c).state_bytes.size(); ++k) accesses.push_back(from(map_.extent_resource(c.state_extent[k])));
  }
  Task task = chunk_task(Op::commit, Lane::commit, -1, 0, When::committing);
  task.step_offset = static_cast<std::int8_t>(step_offset);
  emitter_.add(task, accesses);
}

}  // namespace gsnake::schedule
