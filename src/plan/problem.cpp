#include "plan/problem.h"

#include <algorithm>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::plan {
namespace {

constexpr std::uint64_t kSmallestChunk = 16 * schedule::kGrain;  // elements
constexpr std::uint64_t kChunksPerObject = 8;  // enough to overlap reading, updating and writing one object

schedule::Fractions fractions(const TierFractions& tier) { return {tier.device, tier.host}; }
schedule::Fractions all_on_device(const TierFractions& tier) { return {std::min(1.0, tier.device + tier.host), 0.0}; }

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

void set_training(schedule::Problem& problem, const Config& config, const Numerics& numerics) {
  problem.micro_batches = static_cast<int>(config.train.micro_batches / config.ranks.count);
  problem.schedule = config.train.schedule == Schedule::horizontal ? schedule::ScheduleKind::horizontal : schedule::ScheduleKind::vertical;
  const bool snake = config.train.order == MicroBatchOrder::snake ||
                     (config.train.order == MicroBatchOrder::automatic && problem.schedule == schedule::ScheduleKind::vertical);
  problem.order = snake ? schedule::Order::snake : schedule::Order::ascending;
  problem.delay = numerics.delay;
  problem.guard = numerics.guard;
  problem.weights = fractions(config.placement.weights);
  problem.optimizer = fractions(config.placement.optimizer);
  problem.activations = fractions(config.placement.activations);
  problem.kept = config.placement.kept.device;
  problem.gradients_host = config.placement.gradients.host;
  problem.update_device = config.placement.update.device;
  // One launch a chunk: where the device is given a part of the optimizer's work anyway. On the CPU device steps wait for the lane that would do it.
  problem.norms_on_device = problem.update_device > 0.0 && config.memory.device != "cpu";
  problem.commits = config.run.durability == Durability::commit;
}

}  // namespace

std::uint64_t chunk_elements(const ModelLayout& layout, int ranks) {
  const std::uint64_t even = core::round_up(core::ceil_div(layout.largest_object(), kChunksPerObject * static_cast<std::uint64_t>(ranks)), schedule::kGrain);
  return std::clamp(even, kSmallestChunk, kLargestChunk);
}

std::int64_t passes_of(const Config& config, Purpose purpose) { return purpose == Purpose::train && config.train.objective == Objective::dpo ? 2 : 1; }
std::int64_t rows_of(const Config& config, Purpose purpose) { return purpose == Purpose::train ? config.train.micro_batch_size * passes_of(config, purpose) : 1; }
std::int64_t tokens_of(const Config& config, Purpose purpose) { return rows_of(config, purpose) * config.train.sequence_length; }

schedule::Problem make_problem(const Config& config, const Numerics& numerics, const ModelLayout& layout, Purpose purpose, bool one_memory) {
  const bool training = purpose == Purpose::train;
  schedule::Problem problem;
  const std::int64_t tokens = tokens_of(config, purpose);
  problem.activation_bytes = static_cast<std::uint64_t>(passes_of(config, purpose) * tokens * layout.hidden) * optim::weight_bytes(numerics.optimizer.weights);
  problem.ids_bytes = static_cast<std::uint64_t>(tokens) * sizeof(std::int64_t);
  problem.result_bytes = static_cast<std::uint64_t>(head_results(passes_of(config, purpose))) * sizeof(double);
  problem.chunk_elements = chunk_elements(layout, training ? config.ranks.count : 1);
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    problem.objects.push_back(make_object(layout.flat(object).elements, numerics.optimizer, training && layout.is_trained(object)));
    if (layout.is_packed(object)) problem.objects.back().packed_bytes = layout.shape(layout.unit_of(object)).packed_bytes;
  }
  if (training && !problem.trains()) throw Error(ErrorKind::usage, "model: none of its parameters takes gradients; there is nothing to train");
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    problem.units.push_back({layout.objects_of(static_cast<int>(unit)), layout.shape(unit).forward_flops_per_token * static_cast<double>(passes_of(config, purpose) * tokens), layout.shape(unit).trained_share()});
  }
  if (training) {
    set_training(problem, config, numerics);
    if (one_memory) problem.activations = all_on_device(config.placement.activations);
    schedule::share_out(problem, config.ranks.rank, config.ranks.count);
  } else {
    problem.activations = {1.0, 0.0};
    problem.order = schedule::Order::ascending;
  }
  return problem;
}

std::uint64_t largest_gradient_part(const schedule::Problem& problem) {
  std::uint64_t bytes = 0;
  for (const schedule::Object& object : problem.objects) {
    if (object.trained && problem.ranks > 1) bytes = std::max(bytes, schedule::part_cells(object, problem.ranks) * sizeof(float));
  }
  return bytes;
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
