#include "train/session.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "core/log.h"
#include "greedysnake/error.h"
#include "train/torch_memory.h"

namespace gsnake::train {
namespace {

// LibTorch's temporaries of a unit repeat from call to call; a little more covers what varies with alignment.
constexpr double kTemporariesMargin = 1.1;
constexpr std::uint64_t kTemporariesSlack = 1ULL << 20;

int compute_threads(const Config& config) {
  if (config.train.compute_threads > 0) return static_cast<int>(config.train.compute_threads);
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

Model checked(Model model, const Config& config) {
  install_torch_allocator();
  at::set_num_threads(compute_threads(config));
  if (config.train.sequence_length > model.max_context) {
    throw Error(ErrorKind::usage, "train.sequence_length = " + std::to_string(config.train.sequence_length) + ": the model takes at most " +
                                      std::to_string(model.max_context) + " tokens; lower it or raise model.context");
  }
  return model;
}

ComputeShape compute_shape(const Config& config, Purpose purpose) {
  return {purpose == Purpose::train ? config.train.micro_batch_size : 1, config.train.sequence_length, config.train.head_chunk, config.train.seed};
}

}  // namespace

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

store::StoreOptions store_options(const Config& config) {
  store::StoreOptions options;
  options.run_dir = config.run.dir;
  options.ssd_paths = config.ssd.paths;
  options.stripe_weights = config.ssd.weights;
  options.engine = config.ssd.engine == "io_uring"  ? io::EngineChoice::io_uring
                   : config.ssd.engine == "threads" ? io::EngineChoice::threads
                                                    : io::EngineChoice::automatic;
  // Both lanes' tasks in flight, each in as many pieces as stripes may cut it into.
  options.engine_options.depth = 512;
  return options;
}

Session::Session(Model made, const Config& settings, Purpose purpose)
    : config(settings), model(checked(std::move(made), settings)), layout(make_model_layout(model, settings.optimizer.decay_1d)),
      shape(compute_shape(settings, purpose)), backend(model, layout, shape), problem(make_problem(settings, model, layout, purpose == Purpose::train)) {
  const bool training = purpose == Purpose::train;
  temporaries = backend.rehearse(training, kTemporariesMargin, kTemporariesSlack);
  malloc_trim(0);
  memory = plan_memory(config, problem, {temporaries});
  program = schedule::build_program(problem, memory.pools);
  store_layout = make_store_layout(config, layout, problem);
  if (training) optimizer = optim::make_adamw({config.optimizer.beta1, config.optimizer.beta2, config.optimizer.epsilon, config.optimizer.weight_decay});
  device = device::make_cpu_device();
}

void Session::start(int slot) {
  start_slot = slot;
  runtime::ExecutorOptions options;
  const EmulateConfig& rates = config.emulate;
  options.emulated_rates = {rates.compute, rates.h2d, rates.d2h, rates.ssd_read, rates.ssd_write, rates.optimizer, rates.collective};
  options.decay_runs = decay_runs(layout);
  executor = std::make_unique<runtime::Executor>(program, *device, *store, backend, optimizer.get(), std::move(options));
  for (std::size_t extent = 0; extent < program.map.extents.size(); ++extent) {
    if (program.map.extents[extent].kind < schedule::ExtentKind::gradients) executor->slots().set(static_cast<int>(extent), slot);
  }
  // What is resident beside what the budgets were charged with: libraries, code, stacks. LibTorch's temporaries are not there yet.
  const std::uint64_t resident = resident_bytes();
  const std::uint64_t charged = memory.host_bytes + memory.device_bytes - temporaries;
  base_bytes = resident > charged ? resident - charged : 0;
  executor->wait_end(executor->start(schedule::Variant::load, nullptr));
}

int Session::slot_after(std::int64_t updates) const {
  const int slots = store->layout().kinds[static_cast<std::size_t>(store::Kind::weights)].slots;
  return slots == 2 ? static_cast<int>((start_slot + updates) % 2) : 0;
}

void Session::aim_flush(int slot) {
  if (store->layout().kinds[static_cast<std::size_t>(store::Kind::weights)].slots != 2) return;
  for (const schedule::Chunk& chunk : program.map.chunks) {
    if (chunk.weight_tier != schedule::Tier::ssd) executor->slots().set(chunk.weight_extent, 1 - slot);
    for (std::size_t k = 0; k < problem.state_bytes.size(); ++k) {
      if (chunk.state_tier != schedule::Tier::ssd) executor->slots().set(chunk.state_extent[k], 1 - slot);
    }
  }
}

}  // namespace gsnake::train
