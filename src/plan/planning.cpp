#include "plan/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"
#include "runtime/memory_image.h"
#include "runtime/executor.h"

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
  constexpr std::uint64_t kPerTaskInFlight = 112;
  constexpr std::uint64_t kPerExtent = 160;  // its slot and checksums there, and its checksums in the next commit, the last one and its table
  return bytes + 2 * most * kPerTaskInFlight + program.map.chunks.size() * sizeof(schedule::Chunk) + join_bytes(program) +
         program.map.extents.size() * kPerExtent;
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
    const std::uint64_t slot = core::round_up(pool.bytes, 4096);
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
void set_widths(schedule::Problem& problem, const optim::OptimizerSpec& spec, bool training) {
  problem.weight_bytes = optim::weight_bytes(spec.weights);
  problem.state_bytes.clear();
  if (!training) return;
  problem.state_bytes = optim::make_optimizer(spec)->state_bytes();
  problem.master = optim::master_bytes(spec.weights) > 0;
  problem.weights_derived = spec.weights == optim::WeightFormat::fp16;
  if (problem.master) problem.state_bytes.insert(problem.state_bytes.begin(), optim::master_bytes(spec.weights));
}

}  // namespace

schedule::Problem make_problem(const Config& config, const Numerics& numerics, const Model& model, const ModelLayout& layout, bool training) {
  schedule::Problem problem;
  set_widths(problem, numerics.optimizer, training);
  for (const model::FlatLayout& unit : layout.units) problem.elements.push_back(unit.elements);
  problem.tied = layout.tied;
  const std::int64_t rows = training ? config.train.micro_batch_size : 1;
  problem.activation_bytes = static_cast<std::uint64_t>(rows * config.train.sequence_length * model.hidden) * problem.weight_bytes;
  problem.chunk_elements = chunk_elements(layout);
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    const UnitKind& kind = model.kinds[static_cast<std::size_t>(model.units[unit])];
    const double per_token = kind.forward_flops_per_token > 0 ? kind.forward_flops_per_token : 2.0 * static_cast<double>(layout.units[unit].elements);
    problem.forward_flops.push_back(per_token * static_cast<double>(rows * config.train.sequence_length));
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

store::Layout make_store_layout(const Config& config, const ModelLayout& layout, const schedule::Problem& problem) {
  store::Layout made;
  const auto kind = [&](store::Kind k) -> store::KindLayout& { return made.kinds[static_cast<std::size_t>(k)]; };
  const auto add_state = [&](schedule::ExtentKind state, std::uint64_t width) {
    store::KindLayout& own = kind(static_cast<store::Kind>(state));
    own.slots = config.run.durability == Durability::commit ? 2 + snapshot_places(config) : 1;
    for (const model::FlatLayout& unit : layout.units) {
      own.logical_bytes.push_back(unit.elements * width);
      own.padded_bytes.push_back(schedule::padded_elements(unit.elements) * width);
    }
  };
  add_state(schedule::ExtentKind::weights, problem.weight_bytes);
  for (std::size_t k = 0; k < problem.state_bytes.size(); ++k) add_state(problem.state_kind(k), problem.state_bytes[k]);
  // Scratch, as the map asks for it.
  for (const schedule::Extent& extent : schedule::make_map(problem, {}).extents) {
    const auto k = static_cast<store::Kind>(extent.kind);
    if (k != store::Kind::gradients && k != store::Kind::activations) continue;
    std::vector<std::uint64_t>& padded = kind(k).padded_bytes;
    if (padded.size() <= static_cast<std::size_t>(extent.object)) padded.resize(static_cast<std::size_t>(extent.object) + 1, 0);
    padded[static_cast<std::size_t>(extent.object)] = std::max(padded[static_cast<std::size_t>(extent.object)], extent.offset + extent.bytes);
    kind(k).logical_bytes = padded;
  }
  return made;
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
  std::uint64_t elements = 0;
  for (std::uint64_t object : problem.elements) elements += object;
  const std::uint64_t checkpoints = static_cast<std::uint64_t>(problem.units() - 1) * static_cast<std::uint64_t>(problem.micro_batches) * problem.activation_bytes;
  std::uint64_t width = problem.weight_bytes + sizeof(float);  // of a parameter: weight, gradient and all state
  for (std::uint64_t state : problem.state_bytes) width += state;
  return elements * width + checkpoints;
}

}  // namespace gsnake::plan
