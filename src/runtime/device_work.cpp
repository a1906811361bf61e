#include "runtime/device_work.h"

#include <algorithm>
#include <array>
#include <vector>

namespace gsnake::runtime {
namespace {

using schedule::Role;
using schedule::Task;

class Copies final : public DeviceWork {
 public:
  explicit Copies(const MemoryImage& memory) : places_(memory) {}

  // h2d also carries what goes from one place on the device to another.
  void submit(const Flight& flight, const Task& task, std::size_t, device::Stream& stream) override {
    const schedule::Access& source = *flight.graph().find(task, Role::source);
    const schedule::Access& destination = *flight.graph().find(task, Role::destination);
    if (places_.is_host(destination)) {
      stream.copy(places_.host(flight, destination), places_.on_device(flight, source), task.bytes);
    } else if (places_.is_host(source)) {
      stream.copy(places_.on_device(flight, destination), places_.host(flight, source), task.bytes);
    } else {
      stream.copy(places_.on_device(flight, destination), places_.on_device(flight, source), task.bytes);
    }
  }

 private:
  const Places places_;
};

std::size_t most_uses(const schedule::Problem& problem) {
  std::size_t most = 0;
  for (const schedule::Unit& unit : problem.units) most = std::max(most, unit.objects.size());
  return most;
}

class Units final : public DeviceWork {
 public:
  Units(const MemoryImage& memory, const schedule::Problem& problem, ComputeBackend& backend, std::size_t places)
      : places_(memory), problem_(problem), backend_(backend), works_(places) {
    for (Work& work : works_) work.uses.resize(most_uses(problem));
  }

  void submit(const Flight& flight, const Task& task, std::size_t place, device::Stream& stream) override {
    set_call(works_[place], flight, task);
    stream.compute([this, place](const device::ComputeScope& scope) { backend_.run(scope, works_[place].call); });
  }

 private:
  struct Work {
    ComputeCall call;
    std::vector<UsedObject> uses;  // the call's: room for those of any unit
  };

  void set_call(Work& work, const Flight& flight, const Task& task) const {
    const std::vector<int>& objects = problem_.uses(task.unit);
    for (std::size_t i = 0; i < objects.size(); ++i) work.uses[i] = {objects[i]};
    ComputeCall& call = work.call = {};
    call.op = task.op;
    call.unit = task.unit;
    call.micro_batch = problem_.rank * problem_.micro_batches + task.micro_batch;
    call.step = flight.batch->step;
    call.training = flight.batch->training;
    call.loss_factor = flight.batch->loss_factor;
    const std::size_t rows = flight.batch->starts.size() / static_cast<std::size_t>(problem_.micro_batches);
    call.starts = flight.batch->starts.subspan(rows * static_cast<std::size_t>(task.micro_batch), rows);
    call.kept = task.kept;
    call.opens = task.opens;
    call.uses = {work.uses.data(), objects.size()};
    if (task.op == schedule::Op::head) call.loss_scale = static_cast<float>(counters_of(flight).loss_scale);
    for (const schedule::Access& access : flight.graph().accesses(task)) set_place(work, access, flight);
  }

  void set_place(Work& work, const schedule::Access& access, const Flight& flight) const {
    if (access.role == Role::outcome) return;  // in host memory, for its order alone
    const device::DevicePtr place = places_.on_device(flight, access);
    switch (access.role) {
      case Role::weights: work.uses[access.use].weights = place; break;
      case Role::gradients:
        work.uses[access.use].gradients = place;
        work.uses[access.use].first = access.mode == schedule::Mode::write;
        break;
      case Role::ids: work.call.ids = place; break;
      case Role::input: work.call.input = place; break;
      case Role::output_gradient: work.call.output_gradient = place; break;
      case Role::output: work.call.output = place; break;
      case Role::losses: work.call.loss = place; break;
      default: break;
    }
  }

  const Places places_;
  const schedule::Problem& problem_;
  ComputeBackend& backend_;
  std::vector<Work> works_;
};

class Updates final : public DeviceWork {
 public:
  Updates(const MemoryImage& memory, const schedule::Map& map, const Computing& computing, std::size_t places)
      : places_(memory), map_(map), updates_(computing.updates), policy_(computing.policy), calls_(places), norms_(places) {}

  void submit(const Flight& flight, const Task& task, std::size_t place, device::Stream& stream) override {
    if (task.op == schedule::Op::norm) {
      norms_[place] = {places_.on_device(flight, task, Role::gradient), places_.on_device(flight, task, Role::norm), map_.chunks[static_cast<std::size_t>(task.chunk)].cells};
      return stream.compute([this, place](const device::ComputeScope& scope) { updates_.norm(scope, norms_[place]); });
    }
    set_call(calls_[place], flight, task);
    stream.compute([this, place](const device::ComputeScope& scope) { updates_.update(scope, calls_[place]); });
  }

 private:
  void set_call(DeviceUpdateCall& call, const Flight& flight, const Task& task) const {
    const schedule::Chunk& chunk = map_.chunks[static_cast<std::size_t>(task.chunk)];
    const auto at = [&](Role role) { return places_.on_device(flight, task, role); };
    const std::array states{at(Role::state0), at(Role::state1), at(Role::state2)};
    const bool has_master = map_.object_of(chunk).master;
    call = {};
    call.object = chunk.object;
    call.skipped = task.step_offset < 0 && outcome_of(flight, task).what.skipped;
    call.opens = flight.graph().find(task, Role::greatest)->mode == schedule::Mode::write;
    call.scalars = scalars_of(flight, task, policy_);
    call.weight = at(Role::weight);
    if (has_master) call.master = states[0];
    std::copy(states.begin() + (has_master ? 1 : 0), states.end(), call.states.begin());
    call.gradient = at(Role::gradient);
    call.partials = at(Role::norm);
    call.greatest = at(Role::greatest);
    call.elements = chunk.cells;
    call.first_element = chunk.begin;
  }

  const Places places_;
  const schedule::Map& map_;
  DeviceUpdates& updates_;
  const Policy& policy_;
  // Both by place.
  std::vector<DeviceUpdateCall> calls_;
  std::vector<DeviceNormCall> norms_;
};

class ComputeWork final : public DeviceWork {
 public:
  ComputeWork(const MemoryImage& memory, const schedule::Map& map, const Computing& computing, std::size_t places)
      : units_(memory, map.problem, computing.backend, places), updates_(memory, map, computing, places) {}

  void submit(const Flight& flight, const Task& task, std::size_t place, device::Stream& stream) override {
    const bool of_optimizer = task.op == schedule::Op::update || task.op == schedule::Op::norm;
    of_optimizer ? updates_.submit(flight, task, place, stream) : units_.submit(flight, task, place, stream);
  }

 private:
  Units units_;
  Updates updates_;
};

class Collectives final : public DeviceWork {
 public:
  Collectives(const MemoryImage& memory, Collective& collective, std::size_t places) : places_(memory), collective_(collective), calls_(places) {}

  void submit(const Flight& flight, const Task& task, std::size_t place, device::Stream& stream) override {
    const schedule::Graph& graph = flight.graph();
    calls_[place] = {task.op, places_.on_device(flight, *graph.find(task, Role::source)), places_.on_device(flight, *graph.find(task, Role::destination)),
                     task.bytes / static_cast<std::uint64_t>(collective_.ranks())};
    stream.compute([this, place](const device::ComputeScope& scope) { collective_.run(scope, calls_[place]); });
  }
  void give_up() noexcept override { collective_.abort(); }

 private:
  const Places places_;
  Collective& collective_;
  std::vector<CollectiveCall> calls_;
};

}  // namespace

std::unique_ptr<DeviceWork> make_copies(const MemoryImage& memory) { return std::make_unique<Copies>(memory); }

std::unique_ptr<DeviceWork> make_computing(const MemoryImage& memory, const schedule::Map& map, const Computing& computing, std::size_t places) {
  return std::make_unique<ComputeWork>(memory, map, computing, places);
}

std::unique_ptr<DeviceWork> make_collectives(const MemoryImage& memory, Collective& collective, std::size_t places) {
  return std::make_unique<Collectives>(memory, collective, places);
}

}  // namespace gsnake::runtime
