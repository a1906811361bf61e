#include "plan/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"
#include "runtime/executor.h"
#include "runtime/memory_image.h"
#include "runtime/store_layout.h"

namespace gsnake::plan {
namespace {

constexpr std::uint64_t kLargestChunk = 1ULL << 20;       // elements
constexpr std::uint64_t kSmallestChunk = 16 * schedule::kGrain;
constexpr std::uint64_t kChunksPerObject = 8;             // enough to overlap reading, updating and writing one object
constexpr int kExtraActivations = 2;                      // slots, so that copies run beside compute

schedule::Fractions fractions(const TierFractions& tier) { return {tier.device, tier.host}; }

std::uint64_t chunk_elements(const ModelLayout& layout) {
  std::uint64_t largest = 0;
  for (const model::FlatLayout& unit : layout.units) largest = std::max(largest, unit.elements);
  const std::uint64_t even = core::round_up(core::ceil_div(largest, kChunksPerObject), schedule::kGrain);
  return std::clamp(even, kSmallestChunk, kLargestChunk);
}

// The edges between every two graphs that may follow one another, as the executor keeps them.
std::uint64_t join_bytes(const schedule::Program& program) {
  std::uint64_t bytes = 0;
  for (const schedule::Graph& previous : program.graphs) {
    for (const schedule::Graph& next : program.graphs) {
      if (previous.end_order.empty() || next.end_order.empty() || !schedule::may_follow(previous.variant, next.variant, program.delayed)) continue;
      const std::size_t edges = schedule::join(program.map, previous, next).size();
      bytes += (previous.tasks.size() + next.tasks.size() + edges) * sizeof(schedule::TaskId);
    }
  }
  return bytes;
}

// Structures that grow with the number of tasks: the graphs, and two flights' counters, times and events.
std::uint64_t table_bytes(const schedule::Program& program) {
  std::uint64_t bytes = 0;
  std::size_t most = 0;
  for (const schedule::Graph& graph : program.graphs) {
    most = std::max(most, graph.tasks.size());
    bytes += graph.tasks.capacity() * sizeof(schedule::Task) + graph.access_list.capacity() * sizeof(schedule::Access) +
             graph.successors.capacity() * sizeof(schedule::TaskId) + graph.boundaries.capacity() * sizeof(schedule::Boundary);
  }
  constexpr std::uint64_t kPerTaskInFlight = 72;
  constexpr std::uint64_t kPerExtent = 160;  // its slot and checksums there, and its checksums in the next commit, the last one and its table
  for (const schedule::Chunk& chunk : program.map.chunks) bytes += sizeof(chunk) + chunk.partials.size() * sizeof(schedule::WaitingPlace);
  return bytes + 2 * most * kPerTaskInFlight + join_bytes(program) + program.map.extents.size() * kPerExtent;
}

std::vector<MemoryItem> charge(const schedule::Problem& problem, const schedule::PoolSizes& pools, const Overheads& overheads, const schedule::Program& program) {
  const schedule::Map map = schedule::make_map(problem, pools);
  std::vector<MemoryItem> items;
  std::map<std::pair<std::string, std::string>, std::uint64_t> homes;
  for (const schedule::Buffer& buffer : map.buffers) {
    if (buffer.pool < 0) homes[{buffer.space == schedule::Space::host ? "host" : "device", buffer.name}] += runtime::MemoryImage::bytes_of(buffer);
  }
  for (const auto& [key, bytes] : homes) items.push_back({key.first, key.second, bytes, "kept there by placement"});
  for (const schedule::Pool& pool : map.pools) {
    const std::uint64_t slot = runtime::MemoryImage::bytes_of({pool.space, pool.bytes, -1, {}});
    items.push_back({pool.space == schedule::Space::host ? "host" : "device", "slots for " + pool.name, slot * static_cast<std::uint64_t>(pool.slots),
                     fmt::format("{} of {}", pool.slots, core::format_bytes(slot))});
  }
  items.push_back({"host", "task graphs and tables", table_bytes(program), fmt::format("{} chunks", map.chunks.size())});
  if (overheads.snapshot_buffers > 0) items.push_back({"host", "snapshot buffers", overheads.snapshot_buffers, "run.snapshot_every"});
  if (overheads.widened_weights > 0) items.push_back({"device", "widened weights", overheads.widened_weights, "train.compute_dtype"});
  items.push_back({"device", "LibTorch's temporaries", overheads.torch_temporaries, "measured by a dry run of each kind of unit"});
  return items;
}

memory::BudgetPlan budget(const std::vector<MemoryItem>& items, const std::string& tier, std::uint64_t limit) {
  memory::BudgetPlan plan(tier, limit);
  for (const MemoryItem& item : items) {
    if (item.tier == tier) plan.add(item.name, item.bytes, item.detail);
  }
  return plan;
}

// As many slots more as make sense: chunks for two objects in flight on top of the fewest, and some hidden states.
schedule::PoolSizes generous(const schedule::Map& map, const schedule::PoolSizes& fewest) {
  schedule::PoolSizes sizes = fewest;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const schedule::PoolRole role = map.pools[i].role;
    if (sizes[i] == 0) continue;
    if (role == schedule::PoolRole::host_chunk) sizes[i] = std::max(3 * sizes[i], static_cast<int>(sizes[i] + 2 * runtime::kSsdTasksInFlight));
    if (role == schedule::PoolRole::host_activation || role == schedule::PoolRole::device_activation) sizes[i] += kExtraActivations;
  }
  return sizes;
}

}  // namespace

namespace {

// What an optimizer has per element: the rest of the master weights first, then its own.
schedule::Object make_object(std::uint64_t elements, const optim::OptimizerSpec& spec, bool training) {
  schedule::Object object{.elements = elements, .trained = training, .weight_bytes = optim::weight_bytes(spec.weights), .state_bytes = {}};
  if (!training) return object;
  object.state_bytes = optim::make_optimizer(spec)->state_bytes();
  object.master = optim::master_bytes(spec.weights) > 0;
  object.weights_derived = spec.weights == optim::WeightFormat::fp16;
  if (object.master) object.state_bytes.insert(object.state_bytes.begin(), optim::master_bytes(spec.weights));
  return object;
}

}  // namespace

schedule::Problem make_problem(const Config& config, const Numerics& numerics, const Model& model, const ModelLayout& layout, bool training) {
  schedule::Problem problem;
  const std::int64_t rows = training ? config.train.micro_batch_size : 1;
  problem.activation_bytes = static_cast<std::uint64_t>(rows * config.train.sequence_length * model.hidden) * optim::weight_bytes(numerics.optimizer.weights);
  problem.ids_bytes = static_cast<std::uint64_t>(rows * config.train.sequence_length) * sizeof(std::int64_t);
  problem.chunk_elements = chunk_elements(layout);
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    const UnitKind& kind = model.kinds[static_cast<std::size_t>(model.units[unit])];
    const double per_token = kind.forward_flops_per_token > 0 ? kind.forward_flops_per_token : 2.0 * static_cast<double>(layout.units[unit].elements);
    problem.objects.push_back(make_object(layout.units[unit].elements, numerics.optimizer, training));
    problem.units.push_back({layout.objects_of(static_cast<int>(unit)), per_token * static_cast<double>(rows * config.train.sequence_length)});
  }
  if (!training) {
    problem.activations = {1.0, 0.0};
    problem.order = schedule::Order::ascending;
    return problem;
  }
  problem.micro_batches = static_cast<int>(config.train.micro_batches);
  problem.schedule = config.train.schedule == Schedule::horizontal ? schedule::ScheduleKind::horizontal : schedule::ScheduleKind::vertical;
  const bool snake = config.train.order == MicroBatchOrder::snake || (config.train.order == MicroBatchOrder::automatic && problem.schedule == schedule::ScheduleKind::vertical);
  problem.order = snake ? schedule::Order::snake : schedule::Order::ascending;
  problem.delay = numerics.delay;
  problem.guard = numerics.guard;
  problem.weights = fractions(config.placement.weights);
  problem.optimizer = fractions(config.placement.optimizer);
  problem.activations = fractions(config.placement.activations);
  problem.gradients_host = config.placement.gradients.host;
  problem.commits = config.run.durability == Durability::commit;
  return problem;
}

store::Layout make_store_layout(const Config& config, const schedule::Problem& problem) {
  return runtime::store_layout(problem, config.run.durability == Durability::commit ? 2 + snapshot_places(config) : 1);
}

int snapshot_places(const Config& config) {
  return config.run.durability == Durability::commit && config.run.snapshot_every > 0 ? static_cast<int>(config.run.snapshot_keep) : 0;
}

store::Layout scratch_layout(const store::Layout& layout) {
  store::Layout scratch;
  for (store::Kind k : {store::Kind::gradients, store::Kind::activations}) scratch.kinds[static_cast<std::size_t>(k)] = layout.kinds[static_cast<std::size_t>(k)];
  return scratch;
}

MemoryPlan plan_memory(const Config& config, const schedule::Problem& problem, const Overheads& overheads) {
  const schedule::PoolSizes fewest = schedule::minimum_pools(problem);
  const schedule::Program smallest = schedule::build_program(problem, fewest);
  const auto fits = [&](const std::vector<MemoryItem>& items) {
    return budget(items, "host", config.memory.host_budget).total() <= config.memory.host_budget &&
           budget(items, "device", config.memory.device_budget).total() <= config.memory.device_budget;
  };
  const std::vector<MemoryItem> least = charge(problem, fewest, overheads, smallest);
  budget(least, "host", config.memory.host_budget).check();
  budget(least, "device", config.memory.device_budget).check();
  MemoryPlan plan{fewest, least, 0, 0};
  // From the generous pools down to the fewest, in eighths of the way.
  const schedule::PoolSizes most = generous(smallest.map, fewest);
  for (int eighths = 8; eighths > 0; --eighths) {
    schedule::PoolSizes sizes = fewest;
    for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] += (most[i] - fewest[i]) * eighths / 8;
    std::vector<MemoryItem> items = charge(problem, sizes, overheads, smallest);
    if (!fits(items)) continue;
    plan.pools = std::move(sizes);
    plan.items = std::move(items);
    break;
  }
  plan.host_bytes = budget(plan.items, "host", config.memory.host_budget).total();
  plan.device_bytes = budget(plan.items, "device", config.memory.device_budget).total();
  return plan;
}

std::uint64_t in_memory_bytes(const schedule::Problem& problem) {
  std::uint64_t bytes = static_cast<std::uint64_t>(problem.unit_count() - 1) * static_cast<std::uint64_t>(problem.micro_batches) * problem.activation_bytes;
  for (const schedule::Object& object : problem.objects) {
    std::uint64_t width = object.weight_bytes + (object.trained ? sizeof(float) : 0);  // of a parameter: weight, gradient and all state
    for (std::uint64_t state : object.state_bytes) width += state;
    bytes += object.packed() ? object.packed_bytes : object.elements * width;
  }
  return bytes;
}

}  // namespace gsnake::plan
