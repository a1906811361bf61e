#include "schedule/batch_tasks.h"

namespace gsnake::schedule {
namespace {

Task copy_task(Lane lane, int unit, int micro_batch, std::uint64_t bytes) {
  Task task;
  task.op = Op::copy;
  task.lane = lane;
  task.unit = unit;
  task.micro_batch = micro_batch;
  task.bytes = bytes;
  return task;
}

}  // namespace

void BatchTasks::open() {
  own_ = emitter_.acquire(map_.pool(PoolRole::host_batch));
  next_ = emitter_.acquire(map_.pool(PoolRole::host_batch));
}

// In this order, so that the next graph's slot comes first there.
void BatchTasks::close() {
  emitter_.release(next_);
  emitter_.release(own_);
  for (int loss : losses_) emitter_.release(loss);
}

int BatchTasks::fetch(BatchPart part, int unit, int micro_batch) {
  const int slot = emitter_.acquire(map_.pool(PoolRole::device_ids));
  emitter_.add(copy_task(Lane::h2d, unit, micro_batch, map_.problem.ids_bytes),
               {{.role = Role::source, .resource = own_, .offset = map_.batch_offset(part, micro_batch)},
                {.role = Role::destination, .mode = Mode::write, .resource = slot}});
  return slot;
}

int BatchTasks::new_loss() { return losses_.emplace_back(emitter_.acquire(map_.pool(PoolRole::device_losses))); }

void BatchTasks::bring_back(int loss, int unit, int micro_batch) {
  const std::uint64_t bytes = map_.problem.result_bytes;
  emitter_.add(copy_task(Lane::d2h, unit, micro_batch, bytes),
               {{.role = Role::source, .resource = loss},
                {.role = Role::destination, .mode = Mode::write, .resource = map_.losses_home, .offset = static_cast<std::uint64_t>(micro_batch) * bytes}});
}

}  // namespace gsnake::schedule
