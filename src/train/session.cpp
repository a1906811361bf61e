#include "train/session.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "checkpoint/base_folder.h"
#include "checkpoint/store_options.h"
#include "core/free_memory.h"
#include "core/log.h"
#include "core/topology.h"
#include "greedysnake/error.h"
#include "memory/anonymous.h"
#include "model/layout.h"
#include "plan/base_layout.h"
#include "plan/compute_dtype.h"
#include "plan/run_plan.h"
#include "plan/workload.h"
#include "schedule/kept.h"
#include "train/compute_shape.h"
#include "train/rank_devices.h"
#include "train/rehearsal.h"

namespace gsnake::train {
namespace {

Model checked(Model model, const Config& config) {
  if (config.train.sequence_length > model.max_context) {
    throw Error(ErrorKind::usage, "train.sequence_length = " + std::to_string(config.train.sequence_length) + ": the model takes at most " +
                                      std::to_string(model.max_context) + " tokens; lower it or raise model.context");
  }
  return model;
}

Config with_base_where_it_is(Config config) {
  config.adapter.base = checkpoint::base_folder(config);
  return config;
}

// The processors that threads keep to, beside the node that host memory is kept on; empty: any, where it has to be spread.
core::Cpus near_processors(const device::Device& device, std::uint64_t host_bytes) {
  const core::NearNode near = device.host_side().near;
  if (!near.reason.empty()) spdlog::info("{}: host memory is spread over {} memory nodes: {}", device.name(), core::Topology::machine().nodes(), near.reason);
  if (near.number < 0 || !memory::fits_on_node(host_bytes, near.number)) return {};  // of too little memory tells whoever maps it
  spdlog::info("{}: host memory and threads are kept to memory node {}, which it is at ({} processors)", device.name(), near.number, near.cpus.size());
  return near.cpus;
}

// What can be refused before a unit is computed, is.
plan::Setting promising(const Config& config, const plan::ModelLayout& layout, Purpose purpose, const device::Device& device, const store::SetUpProgress& told) {
  plan::Setting setting{&layout, purpose, plan::native_dtypes(config)};
  setting.one_memory = plan::share_of_one_memory(device.host_side().one_memory, core::free_host_bytes(), config);
  if (purpose == Purpose::train) setting.rank_buffers = rank_buffers(config, layout, config.memory.device != "cpu");
  if (told) setting.told = [told] { told("planning memory", 0, 0); };
  plan::refuse_what_no_dry_run_mends(config, setting);
  return setting;
}

// Null: the CPU's, or nobody updates there.
std::unique_ptr<runtime::DeviceUpdates> updates_of_device(const Session& session) {
  const backend::DeviceSupport* support = session.computes_on.support.get();
  if (support == nullptr || session.problem.update_device == 0.0) return nullptr;
  std::unique_ptr<runtime::DeviceUpdates> updates = support->make_updates({session.numerics.optimizer, plan::decay_runs(session.layout)});
  if (!updates) throw Error(ErrorKind::usage, "placement.update: " + session.config.memory.device + " is without kernels that update; set placement.update.device = 0");
  return updates;
}

}  // namespace

plan::ModelLayout layout_of(const Model& model, const Config& config, const std::optional<base::Base>& base) {
  plan::ModelLayout layout = model::layout_of(model, config.optimizer.decay_1d);
  if (base) plan::pack(layout, base->manifest(), config.adapter.base);
  return layout;
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Session::Session(Model made, const Config& settings, Purpose purpose, const Parts& parts, const store::SetUpProgress& told)
    : torch(set_up_torch(settings)), config(with_base_where_it_is(settings)), computes_on(parts.make_device(settings)), device(computes_on.device.get()), numerics(plan::numerics_of(settings)), model(checked(std::move(made), settings)), base(plan::open_base(config)), layout(layout_of(model, config, base)),
      setting(promising(settings, layout, purpose, *device, told)), shape(compute_shape(settings, purpose, computes_on.support.get())), backend(parts.make_backend(model, layout, shape)) {
  measure_temporaries(*backend, *device, config, setting, [&told] {
    if (told) told("rehearsing the model's units", 0, 0);
  });
  malloc_trim(0);
  if (told) told("planning memory and building the task graphs", 0, 0);
  problem = plan::make_problem(config, numerics, layout, purpose, setting.one_memory.has_value());
  if (setting.one_memory && purpose == Purpose::train && config.placement.activations.host > 0.0) {
    spdlog::info("{}: its memory is the host's own, so activations that placement.activations has in host memory stay on the device", device->name());
  }
  device_updates = updates_of_device(*this);
  memory = plan::plan_run(config, setting, problem);
  setting.told = {};
  const plan::Overheads overheads = plan::overheads_of(config, setting);
  temporaries = overheads.torch_temporaries + overheads.kept_activations;
  backend->cap_temporaries(temporaries);
  if (overheads.kept_activations > 0) backend->warm_up(*device, schedule::kept_at_once(problem));
  near = near_processors(*device, memory.host_bytes);
  program = schedule::build_program(problem, memory.pools);
  store_layout = plan::make_store_layout(config, problem);
  if (purpose == Purpose::train) optimizer = optim::make_optimizer(numerics.optimizer);
}

void Session::start(checkpoint::StartState state, runtime::Committer* committer) {
  // First: hashing takes memory that the budgets give to slots.
  const std::vector<checkpoint::KnownChecksum> checksums = checkpoint::find_checksums(*store, program.map, written ? &*written : nullptr, state, progress);
  written.reset();
  malloc_trim(0);  // what planning took goes back
  // Of what a run goes on from, a base is part; elsewhere each read of it is checked.
  if (base && config.ssd.verify == ReadChecks::resume) {
    base->verify([this](std::uint64_t done, std::uint64_t total) {
      if (progress) progress("checking the base against its hashes", done, total);
    });
  }
  runtime::ExecutorOptions options;
  const EmulateConfig& rates = config.emulate;
  options.emulated_rates = {rates.compute, rates.h2d, rates.d2h, rates.ssd_read, rates.ssd_write, rates.optimizer, rates.collective};
  for (const schedule::Object& object : problem.objects) options.optimizers.push_back(object.trained ? optimizer.get() : nullptr);
  options.decay_runs = plan::decay_runs(layout);
  options.committer = problem.commits ? committer : nullptr;
  options.optimizer_threads = optimizer_threads(*this);
  options.cores = cores_apart(config);
  options.device_updates = device_updates.get();
  options.policy = numerics.policy;
  options.counters = numerics.counters;
  if (group) {
    group->reserve(plan::largest_gradient_part(problem));
    options.collective = &group->collective();
    options.agreement = &group->agreement(dist::Channel::outcomes);
  }
  options.verify_reads = config.ssd.verify == ReadChecks::always;
  options.hash_writes = checkpoint::hashes_state();
  options.base_hashes = plan::base_hashes(base, layout);
  {
    // What the lanes' threads begin with; those that train.pin_threads gives cores of their own go there.
    const core::KeptTo as_the_lanes(near);
    executor = std::make_unique<runtime::Executor>(program, *device, *store, *backend, std::move(options));
  }
  checkpoint::set_up(executor->slots(), *store, checksums);
  // What is resident beside what the budgets were charged with: libraries, code, stacks.
  const std::uint64_t resident = resident_bytes();
  const std::uint64_t on_host = computes_on.support == nullptr ? memory.device_bytes - temporaries : 0;  // of the device budget
  const std::uint64_t charged = memory.host_bytes + on_host + backend->resident_bytes();
  base_bytes = resident > charged ? resident - charged : 0;
  if (progress) progress("loading what placement keeps in memory", 0, 0);
  load_ticket = executor->load();
  executor->wait_end(load_ticket);
}

unsigned optimizer_threads(const Config& config) {
  return std::max(1U, std::thread::hardware_concurrency() / (2 * static_cast<unsigned>(config.ranks.local_count)));
}

unsigned optimizer_threads(const Session& session) {
  const unsigned all = optimizer_threads(session.config);
  if (session.near.empty() || session.config.train.pin_threads == ThreadPinning::apart) return all;
  return std::clamp(static_cast<unsigned>(session.near.size()) / 2, 1U, all);
}

std::optional<core::CoreSplit> cores_apart(const Config& config) {
  if (config.train.pin_threads == ThreadPinning::never) return std::nullopt;
  if (config.ranks.local_count > 1) {
    spdlog::warn("train.pin_threads = \"apart\": {} ranks share this machine's cores; nothing is pinned (let the launcher bind each of them)", config.ranks.local_count);
    return std::nullopt;
  }
  const auto computing = static_cast<unsigned>(plan::compute_threads(config));
  std::optional<core::CoreSplit> split = core::Topology::machine().split(computing, optimizer_threads(config));
  if (!split) {
    spdlog::warn("train.pin_threads = \"apart\": {} compute threads and {} of the optimizer's want a core each, and there are {}; nothing is pinned (lower "
                 "train.compute_threads)", computing, optimizer_threads(config), core::Topology::machine().cores());
  }
  return split;
}

}  // namespace gsnake::train
