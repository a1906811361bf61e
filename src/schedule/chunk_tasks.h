// What moves and updates one chunk: the part of a graph that is the same for every schedule.
#pragma once

#include <vector>

#include "schedule/emitter.h"

namespace gsnake::schedule {

class ChunkTasks {
 public:
  ChunkTasks(Emitter& emitter, const Map& map);

  // Brings the chunk's weights to their place in `device_slot`, which is that of this rank's part where there are several ranks. apply_delayed: after the previous step's update, whose result goes there
  // without a second read. keep: the host copy stays for an update or a later fetch, until drop_weight().
  void fetch(int chunk, int device_slot, bool apply_delayed, bool keep);
  // Where updates of fetched chunks run on the device, they run a chunk ahead of what brings their weights to the slot: that what the next one is made of
  // comes while one is at work. This brings the last one's.
  void deliver();
  [[nodiscard]] bool delays_on_device(int object) const;
  // The previous step's update of a delayed chunk.
  void apply_delayed(int chunk);
  // The previous step's update of a chunk that was made before the step's outcome was known: from what was committed last, if need be.
  void revise(int chunk);
  // Takes the norm of a finished gradient sum, where that is the device's to do; take_gradient() follows, and brings it back.
  void look(int chunk, int accumulator);
  // The slots of what has been brought back, which are kept until then: what looks next has slots of its own, and does not wait for copies.
  void release_norms();
  // The chunk's part of a finished gradient sum leaves the device: an eager chunk is updated, a delayed one's gradient waits.
  // What the object's other users gathered is added first, and before that, where first_share is 0, what its own did before.
  void take_gradient(int chunk, int accumulator, std::size_t first_share = 1);
  // A gradient sum that is not finished waits in host memory or on SSD, and comes back.
  void save_partial(int chunk, std::size_t user, int accumulator);
  void restore_partial(int chunk, std::size_t user, int accumulator);
  // Of several ranks: a sum of all is added to the one that waits.
  void add_to_partial(int chunk, std::size_t user, int sum);

  // Between ranks: everybody's part of an object's weights to the whole; everybody's gradients to this rank's part of their sum.
  void gather(int unit, int micro_batch, int object, int part, int whole);
  void scatter(int unit, int micro_batch, int object, int whole, int part);

  // Makes sure that the chunk's current weights stand in host memory and returns where.
  int host_weight(int chunk);
  void drop_weight(int chunk);
  // The weights that the previous graph left in `buffer`.
  void adopt_weight(int chunk, int buffer) { held_[chunk] = buffer; }
  [[nodiscard]] bool holds(int chunk) const { return held_[chunk] >= 0; }

  // Homes in host and device memory: from and to their extents.
  void load_homes(int chunk);
  void flush_homes(int chunk);
  // The step's losses and, with_norms, norm partials are there.
  void conclude(bool with_norms);
  // What the device's updates of step_offset's step, if there are any, say of the new weights.
  void inspect(int step_offset);
  // Makes durable what step_offset's step left in all extents of state that is trained.
  void commit(int step_offset);

 private:
  struct Place {
    int home = -1;
    int extent = -1;
    Tier tier = Tier::ssd;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Place weight_place(const Chunk& chunk) const;
  [[nodiscard]] Place state_place(const Chunk& chunk, std::size_t k) const;

  int acquire() { return emitter_.acquire(chunk_pool_); }
  void read(int chunk, int extent, int buffer, std::uint64_t bytes);
  void write(int chunk, int extent, int buffer, std::uint64_t bytes, When when = When::always, int step_offset = 0);
  void copy(int chunk, Lane lane, Access source, Access destination, std::uint64_t bytes, When when = When::always, int step_offset = 0);
  // To host memory; its home where it has one there.
  int bring(int chunk, const Place& place, When when = When::always);
  // After an update of step_offset's step in `buffer`.
  void store_back(int chunk, const Place& place, int buffer, int step_offset);
  void leave(const Place& place, int buffer);
  void update(int chunk, int gradient, int step_offset);
  // A chunk's update task: what it reads and writes.
  Task update_task(int chunk, Lane lane, int step_offset) const;
  std::vector<Access> update_accesses(int chunk, int weight, const Access& gradient, int norm, int step_offset) const;
  [[nodiscard]] int updated_weight(int chunk);
  // The device's part of updates (device_updates.cpp): where it returns a buffer, that holds the new weights and is left by leave_device().
  int update_on_device(int chunk, const Access& gradient, int step_offset);
  int delayed_on_device(int chunk);
  void update_from_sum(int chunk, const Access& sum);
  void fetch_updated(int chunk, const Access& slot, bool keep);
  int bring_to_device(int chunk, const Place& place);
  void return_from_device(int chunk, const Place& place, int buffer, int step_offset);
  void return_weight(int chunk, int buffer, int step_offset);
  void return_norm(int chunk, int norm);
  void return_results(int chunk, int norm, int step_offset);
  void leave_device(const Place& place, int buffer);
  void add_share(int chunk, std::size_t user, int gradient);
  void load(int chunk, const Place& place);
  void flush(int chunk, const Place& place);
  [[nodiscard]] const Object& object_of(int chunk) const { return map_.object_of(map_.chunks[chunk]); }
  [[nodiscard]] std::size_t states(int chunk) const { return object_of(chunk).state_bytes.size(); }
  [[nodiscard]] std::uint64_t gradient_bytes(int chunk) const { return Map::gradient_bytes(map_.chunks[chunk]); }
  [[nodiscard]] std::uint64_t gradient_offset(int chunk) const { return map_.gradient_offset(map_.chunks[chunk]); }

  Emitter& emitter_;
  const Map& map_;
  int chunk_pool_ = -1;
  std::vector<int> held_;  // by chunk: pool slot with its current weights; -1: none
  std::vector<int> norms_;  // by chunk: device slot of what look() has found, until take_gradient()
  std::vector<int> returned_;
  struct Updated {
    int chunk = -1;
    int buffer = -1;
    Access slot;
  };
  Updated undelivered_;    // the last one that fetch() has updated on the device
};

}  // namespace gsnake::schedule
