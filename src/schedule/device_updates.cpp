// Updates that the device makes: what comes there for them, and what goes back. And norms that it takes.
#include "schedule/chunk_tasks.h"
#include "schedule/task_parts.h"

namespace gsnake::schedule {

int ChunkTasks::bring_to_device(int chunk, const Place& place) {
  if (place.tier == Tier::device) return place.home;
  const int buffer = emitter_.acquire(map_.pool(PoolRole::device_update));
  const int source = bring(chunk, place);
  copy(chunk, Lane::h2d, from(source), into(buffer), place.bytes);
  leave(place, source);
  return buffer;
}

void ChunkTasks::leave_device(const Place& place, int buffer) {
  if (place.tier != Tier::device) emitter_.release(buffer);
}

// What stays on the device is written to its extent where the step is committed.
void ChunkTasks::return_from_device(int chunk, const Place& place, int buffer, int step_offset) {
  const bool stays = place.tier == Tier::device;
  if (stays && !map_.problem.commits) return;
  const When when = stays ? When::committing : When::always;
  const int in_host = place.tier == Tier::host ? place.home : acquire();
  copy(chunk, Lane::d2h, from(buffer), into(in_host), place.bytes, when, step_offset);
  if (place.tier == Tier::ssd) {
    write(chunk, place.extent, in_host, place.bytes, When::always, step_offset);
  } else if (map_.problem.commits) {
    write(chunk, place.extent, in_host, place.bytes, When::committing, step_offset);
  }
  leave(place, in_host);
}

// Weights on SSD stay in the host slot that they were in, as after an update there.
void ChunkTasks::return_weight(int chunk, int buffer, int step_offset) {
  const Place place = weight_place(map_.chunks[chunk]);
  if (place.tier != Tier::ssd) return return_from_device(chunk, place, buffer, step_offset);
  if (!holds(chunk)) held_[chunk] = acquire();
  copy(chunk, Lane::d2h, from(buffer), into(held_[chunk]), place.bytes, When::always, step_offset);
  write(chunk, place.extent, held_[chunk], place.bytes, When::always, step_offset);
}

void ChunkTasks::return_norm(int chunk, int norm) {
  const Chunk& c = map_.chunks[chunk];
  copy(chunk, Lane::d2h, from(norm), into(c.norm_home), Map::norm_bytes(c));
}

void ChunkTasks::release_norms() {
  for (int norm : returned_) emitter_.release(norm);
  returned_.clear();
}

void ChunkTasks::look(int chunk, int accumulator) {
  if (!map_.chunks[chunk].norm_on_device) return;
  norms_[chunk] = emitter_.acquire(map_.pool(PoolRole::device_norms));
  emitter_.add(chunk_task(Op::norm, Lane::compute, chunk, gradient_bytes(chunk)),
               {{.role = Role::gradient, .resource = accumulator, .offset = gradient_offset(chunk)}, {.role = Role::norm, .mode = Mode::write, .resource = norms_[chunk]}});
}

// The greatest of all of an object's new weights, once these have been made.
void ChunkTasks::return_results(int chunk, int norm, int step_offset) {
  const Chunk& c = map_.chunks[chunk];
  if (norm >= 0) {
    return_norm(chunk, norm);
    emitter_.release(norm);
  }
  if (map_.are_updated_together(chunk, chunk + 1)) return;
  copy(chunk, Lane::d2h, from(map_.greatest_on_device[c.object]), into(map_.greatest_home[c.object]), kGreatestBytes, When::always, step_offset);
}

int ChunkTasks::update_on_device(int chunk, const Access& gradient, int step_offset) {
  const Chunk& c = map_.chunks[chunk];
  const Place place = weight_place(c);
  int weight = place.home;
  if (place.tier != Tier::device) {
    weight = emitter_.acquire(map_.pool(PoolRole::device_update));
    if (!object_of(chunk).weights_derived) copy(chunk, Lane::h2d, from(host_weight(chunk)), into(weight), place.bytes);
  }
  const int norm = step_offset == 0 ? emitter_.acquire(map_.pool(PoolRole::device_norms)) : -1;
  std::vector<Access> accesses = update_accesses(chunk, weight, gradient, norm, step_offset);
  std::vector<int> buffers;
  for (std::size_t k = 0; k < states(chunk); ++k) {
    buffers.push_back(bring_to_device(chunk, state_place(c, k)));
    accesses.push_back({.role = state_role(k), .mode = Mode::update, .resource = buffers.back()});
  }
  const Mode mode = map_.are_updated_together(chunk - 1, chunk) ? Mode::update : Mode::write;
  accesses.push_back({.role = Role::greatest, .mode = mode, .resource = map_.greatest_on_device[c.object]});
  emitter_.add(update_task(chunk, Lane::compute, step_offset), accesses);
  return_results(chunk, norm, step_offset);
  return_weight(chunk, weight, step_offset);
  for (std::size_t k = 0; k < states(chunk); ++k) {
    return_from_device(chunk, state_place(c, k), buffers[k], step_offset);
    leave_device(state_place(c, k), buffers[k]);
  }
  return weight;
}

// Of a finished sum, which leaves the device only where it may be asked for again.
void ChunkTasks::update_from_sum(int chunk, const Access& sum) {
  const Chunk& c = map_.chunks[chunk];
  if (c.gradient_waits) {
    const int gradient = c.gradient_home < 0 ? acquire() : c.gradient_home;
    copy(chunk, Lane::d2h, from(sum.resource, sum.offset), into(gradient), gradient_bytes(chunk));
    if (c.gradient_extent >= 0) write(chunk, c.gradient_extent, gradient, gradient_bytes(chunk));
    if (c.gradient_home < 0) emitter_.release(gradient);
  }
  leave_device(weight_place(c), update_on_device(chunk, sum, 0));
}

int ChunkTasks::delayed_on_device(int chunk) {
  const Chunk& c = map_.chunks[chunk];
  const Place place{c.gradient_home, c.gradient_extent, c.gradient_tier, gradient_bytes(chunk)};
  const int gradient = bring_to_device(chunk, place);
  const int weight = update_on_device(chunk, {.role = Role::gradient, .resource = gradient}, -1);
  emitter_.release(gradient);
  return weight;
}

void ChunkTasks::fetch_updated(int chunk, const Access& slot, bool keep) {
  const Updated updated{chunk, delayed_on_device(chunk), slot};
  if (!keep) drop_weight(chunk);
  deliver();
  undelivered_ = updated;
}

void ChunkTasks::deliver() {
  if (undelivered_.chunk < 0) return;
  const Place place = weight_place(map_.chunks[undelivered_.chunk]);
  copy(undelivered_.chunk, Lane::h2d, from(undelivered_.buffer), undelivered_.slot, place.bytes);
  leave_device(place, undelivered_.buffer);
  undelivered_.chunk = -1;
}

bool ChunkTasks::delays_on_device(int object) const {
  for (int c = map_.first_chunk[object]; c < map_.first_chunk[object + 1]; ++c) {
    if (map_.chunks[c].delayed && map_.chunks[c].updates_on_device) return true;
  }
  return false;
}

void ChunkTasks::inspect(int step_offset) {
  std::vector<Access> accesses;
  for (int c = 0; c < static_cast<int>(map_.chunks.size()); ++c) {
    const Chunk& chunk = map_.chunks[c];
    const bool of_step = chunk.updates_on_device && chunk.delayed == (step_offset < 0);
    if (of_step && !map_.are_updated_together(c - 1, c)) accesses.push_back({.role = Role::greatest, .resource = map_.greatest_home[chunk.object]});
  }
  if (accesses.empty()) return;
  accesses.push_back({.role = Role::inspected, .mode = Mode::write, .resource = map_.inspected_home});
  emitter_.add(chunk_task(Op::inspect, Lane::optimizer, -1, 0, When::always, step_offset), accesses);
}

}  // namespace gsnake::schedule
