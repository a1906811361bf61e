#include "schedule/activations.h"

namespace gsnake::schedule {

ActivationTasks::ActivationTasks(Emitter& emitter, const Map& map)
    : emitter_(emitter), map_(map),
      device_pool_(map.pool(PoolRole::device_activation)),
      host_pool_(map.pool(PoolRole::host_activation)) {}

void ActivationTasks::move(const Tensor& tensor, Op op, Lane lane, int source, int destination) {
  Task task;
  task.op = op;
  task.lane = lane;
  task.unit = tensor.unit;
  task.micro_batch = tensor.micro_batch;
  task.bytes = map_.slot_activation_bytes();
  emitter_.add(task, {{.role = Role::source, .resource = source}, {.role = Role::destination, .mode = Mode::write, .resource = destination}});
}

void ActivationTasks::store(const Tensor& tensor, State& state) {
  state.host = emitter_.acquire(host_pool_);
  move(tensor, Op::copy, Lane::d2h, state.device, state.host);
  if (tier(tensor) == Tier::host) return;
  move(tensor, Op::write, Lane::ssd_write, state.host, map_.extent_resource(extent(tensor)));
  emitter_.release(state.host);
  state.host = -1;
  state.on_ssd = true;
}

void ActivationTasks::produced(const Tensor& tensor, int buffer, int uses, bool next) {
  State& state = states_[tensor];
  state = {uses, buffer, -1, false};
  if (tier(tensor) == Tier::device) return;
  const bool later = uses > (next ? 1 : 0);
  if (later) store(tensor, state);
  if (next) return;
  emitter_.release(buffer);
  state.device = -1;
}

int ActivationTasks::consume(const Tensor& tensor) {
  State& state = states_.at(tensor);
  if (state.device >= 0) return state.device;
  state.device = emitter_.acquire(device_pool_);
  const int host = state.on_ssd ? emitter_.acquire(host_pool_) : state.host;
  if (state.on_ssd) move(tensor, Op::read, Lane::ssd_read, map_.extent_resource(extent(tensor)), host);
  move(tensor, Op::copy, Lane::h2d, host, state.device);
  if (state.on_ssd) emitter_.release(host);
  return state.device;
}

void ActivationTasks::consumed(const Tensor& tensor) {
  State& state = states_.at(tensor);
  const bool last = --state.uses == 0;
  if (last || tier(tensor) != Tier::device) {
    emitter_.release(state.device);
    state.device = -1;
  }
  if (!last) return;
  if (state.host >= 0) emitter_.release(state.host);
  states_.erase(tensor);
}

}  // namespace gsnake::schedule
