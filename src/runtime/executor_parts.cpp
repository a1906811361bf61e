// How an executor is put together, and taken apart.
#include <algorithm>
#include <stdexcept>

#include "runtime/executor.h"
#include "runtime/optimizer_lane.h"
#include "runtime/ssd_lane.h"

namespace gsnake::runtime {

using schedule::Variant;

namespace {

std::size_t most_tasks(const schedule::Program& program) {
  std::size_t most = 0;
  for (const schedule::Graph& graph : program.graphs) most = std::max(most, graph.tasks.size());
  return most;
}

}  // namespace

Executor::Executor(const schedule::Program& program, device::Device& device, store::Store& store, ComputeBackend& backend,
                   ExecutorOptions options)
    : program_(program), options_(std::move(options)), memory_(program.map, device),
      known_to_engine_(store.engine(), {memory_.host_block().data().get(), memory_.host_block().bytes()}), slots_(program.map, store.layout()) {
  for (auto& flight : flights_) {
    flight = std::make_unique<Flight>(most_tasks(program), program.map.buffers.size());
    flight->guarded = program.map.problem.guard != schedule::Guard::none;
  }
  outcome_of(-1).verdict.after = options_.counters;
  outcome_of(-1).what.unsaved = false;
  check_options();
  check_base(store);
  prepare_graphs();
  make_lanes(device, store, backend);
}

void Executor::check_options() const {
  const schedule::Problem& problem = program_.map.problem;
  if (problem.trains() && !options_.policy.learning_rate) throw std::logic_error("executor: it trains without a learning rate");
  if (problem.commits && options_.committer == nullptr) throw std::logic_error("executor: steps can be committed, but nobody does it");
  for (std::size_t object = 0; object < problem.objects.size(); ++object) {
    const bool has_optimizer = object < options_.optimizers.size() && options_.optimizers[object] != nullptr;
    if (problem.objects[object].trained && !has_optimizer) throw std::logic_error("executor: an object is trained without an optimizer");
  }
  if (problem.ranks == 1) return;
  const bool are_there = options_.collective != nullptr && options_.agreement != nullptr;
  if (!are_there || options_.collective->ranks() != problem.ranks || options_.agreement->ranks() != problem.ranks) {
    throw std::logic_error("executor: nothing moves bytes between as many ranks, or lets them agree");
  }
}

void Executor::check_base(const store::Store& store) const {
  const schedule::Problem& problem = program_.map.problem;
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    if (!problem.objects[i].packed()) continue;
    if (store.base_bytes(static_cast<std::uint32_t>(i)) != problem.objects[i].cells()) {
      throw std::logic_error("executor: an object is packed, but the store has no base of it");
    }
    if (!options_.verify_reads) continue;
    const BaseHashes& hashes = options_.base_hashes;
    const std::uint64_t first = i < hashes.first_block.size() ? hashes.first_block[i] : hashes.blocks.size();
    if (first > hashes.blocks.size() || hashes.blocks.size() - first < problem.objects[i].cells() / core::kBaseBlockBytes) {
      throw std::logic_error("executor: a base is verified without all of its hashes");
    }
  }
}

void Executor::make_lanes(device::Device& device, store::Store& store, ComputeBackend& backend) {
  const auto rate = [&](Lane lane) { return options_.emulated_rates[static_cast<std::size_t>(lane)]; };
  const std::size_t most_ready = 2 * most_tasks(program_);
  const core::CoreSplit cores = options_.cores.value_or(core::CoreSplit());
  TaskSink& sink = *this;
  make_device_lanes(device, backend);
  for (Lane lane : {Lane::ssd_read, Lane::ssd_write}) {
    const bool verify = options_.verify_reads && options_.hash_writes;
    const SsdLane::Options own{lane, rate(lane), schedule::kSsdTasksInFlight, most_ready, verify, options_.hash_writes, options_.base_hashes};
    lanes_[static_cast<std::size_t>(lane)] = std::make_unique<SsdLane>(own, program_.map, store, slots_, memory_, sink);
  }
  if (options_.committer != nullptr) {
    const auto carry_out = [this](Flight& flight, TaskId task) { commit(flight, task); };
    lanes_[static_cast<std::size_t>(Lane::commit)] = std::make_unique<CommitLane>(std::size_t{4}, carry_out, sink);
  }
  OptimizerLane::Options own{rate(Lane::optimizer), most_ready, options_.optimizer_threads, options_.optimizers, options_.decay_runs, options_.policy, cores.optimizer, options_.agreement};
  lanes_[static_cast<std::size_t>(Lane::optimizer)] = std::make_unique<OptimizerLane>(std::move(own), program_.map, memory_, sink);
}

void Executor::make_device_lanes(device::Device& device, ComputeBackend& backend) {
  constexpr std::size_t kPlaces = DeviceLane::kMostInDevice;
  std::array<std::unique_ptr<DeviceWork>, schedule::kLaneCount> work;
  host_updates_ = make_host_updates(options_.optimizers, options_.decay_runs);
  DeviceUpdates& updates = options_.device_updates == nullptr ? *host_updates_ : *options_.device_updates;
  work[static_cast<std::size_t>(Lane::compute)] = make_computing(memory_, program_.map, {backend, updates, options_.policy}, kPlaces);
  work[static_cast<std::size_t>(Lane::h2d)] = make_copies(memory_);
  work[static_cast<std::size_t>(Lane::d2h)] = make_copies(memory_);
  if (options_.collective != nullptr) work[static_cast<std::size_t>(Lane::collective)] = make_collectives(memory_, *options_.collective, kPlaces);
  for (std::size_t i = 0; i < work.size(); ++i) {
    if (work[i]) rings_[i] = std::make_unique<EventRing>(kPlaces, device);
  }
  const core::CoreSplit cores = options_.cores.value_or(core::CoreSplit());
  TaskSink& sink = *this;
  for (std::size_t i = 0; i < work.size(); ++i) {
    if (!work[i]) continue;
    const auto lane = static_cast<Lane>(i);
    DeviceLane::Options own{lane, options_.emulated_rates[i], lane == Lane::compute ? cores.compute : core::Cpus()};
    lanes_[i] = std::make_unique<DeviceLane>(own, device, rings_, std::move(work[i]), sink);
    ++in_order_lanes_;
  }
}

Executor::~Executor() {
  {
    const std::lock_guard lock(progress_mutex_);
    stopping_ = true;
    progress_.notify_all();
  }
  // First those that may wait for another rank: what the others have in hand may wait for them.
  if (options_.agreement != nullptr) options_.agreement->abort();
  if (auto& collective = lanes_[static_cast<std::size_t>(Lane::collective)]) collective->stop();
  for (auto& lane : lanes_) {
    if (lane) lane->stop();
  }
}

void Executor::prepare_graphs() {
  const auto built = [&](int variant) { return !program_.graphs[static_cast<std::size_t>(variant)].end_order.empty(); };
  for (int i = 0; i < schedule::kVariantCount; ++i) {
    if (!built(i)) continue;
    const auto next = static_cast<Variant>(i);
    const schedule::Graph& graph = program_.graph(next);
    graphs_[static_cast<std::size_t>(i)] = prepare(graph);
    for (int k = 0; k < schedule::kVariantCount; ++k) {
      const auto previous = static_cast<Variant>(k);
      if (!built(k) || !schedule::may_follow(previous, next, program_.delayed)) continue;
      const schedule::Graph& before = program_.graph(previous);
      joins_[static_cast<std::size_t>(k)][static_cast<std::size_t>(i)] = prepare_join(before, graph, schedule::join(program_.map, before, graph));
    }
  }
}

}  // namespace gsnake::runtime
