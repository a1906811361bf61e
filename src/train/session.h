// What a trainer and a generator share: a model over a store, a device and an executor.
#pragma once

#include <memory>
#include <optional>

#include "checkpoint/start_state.h"
#include "base/base.h"
#include "core/topology.h"
#include "device/device.h"
#include "dist/rank_group.h"
#include "optim/optimizer.h"
#include "plan/memory_plan.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/requirements.h"
#include "plan/store_layout.h"
#include "runtime/executor.h"
#include "torch/process.h"
#include "train/parts.h"
#include "train/run_folder.h"

namespace gsnake::train {

using plan::Purpose;

// Everything that can be refused without touching a drive, then everything that must exist before the first step. The members' order is the
// order in which they are made, and the reverse of the order in which they end.
struct Session {
  // Plans memory, rehearses the units, builds the program; touches no drive. Throws Error(usage), Error(budget), and what `told` throws, which may be
  // empty.
  Session(Model model, const Config& config, Purpose purpose, const Parts& parts = {}, const store::SetUpProgress& told = {});

  // Allocates slots, starts the lanes and loads what placement keeps in memory. The store is set by then. `committer` makes steps durable
  // where problem.commits asks for it; borrowed.
  void start(checkpoint::StartState state, runtime::Committer* committer);

  std::shared_ptr<const backend::ProcessSettings> torch;
  std::shared_ptr<dist::RankGroup> group;  // of several ranks; set before open_run() and start()
  Config config;
  ComputeDevice computes_on;
  device::Device* device = nullptr;  // computes_on's
  plan::Numerics numerics;
  Model model;
  std::optional<base::Base> base;  // of frozen weights that are packed
  plan::ModelLayout layout;
  plan::Setting setting;  // what memory depends on beside the config
  backend::ComputeShape shape;
  std::unique_ptr<backend::UnitBackend> backend;
  schedule::Problem problem;
  plan::MemoryPlan memory;
  std::uint64_t temporaries = 0;  // LibTorch's, in bytes, with activations that are kept
  core::Cpus near;                // beside the GPU's memory node: the threads that serve it keep to these; empty: to any
  std::uint64_t base_bytes = 0;   // resident beside what is charged to the budgets; known after start()
  schedule::Program program;
  store::Layout store_layout;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<runtime::DeviceUpdates> device_updates;  // where a GPU updates
  std::unique_ptr<store::Store> store;
  std::optional<RunFolder> run_folder;                   // of a run that is trained
  std::optional<checkpoint::StateHashes> written;        // of a fresh run: what was written before start()
  store::SetUpProgress progress;             // of start(); may be empty
  std::unique_ptr<runtime::Executor> executor;
  runtime::Executor::Ticket load_ticket = -1;
};

// Of a model whose frozen weights are those of `base`, if there is one.
plan::ModelLayout layout_of(const Model& model, const Config& config, const std::optional<base::Base>& base);
// Of the optimizer lane, beside the compute lane's: half of the cores that are this rank's, as updates are bound by memory, not by arithmetic.
unsigned optimizer_threads(const Config& config);
// The same of a session: where they keep to the GPU's memory node, half of its processors at most.
unsigned optimizer_threads(const Session& session);
// What train.pin_threads asks for; nothing, with a reason in the log, where there are too few cores.
std::optional<core::CoreSplit> cores_apart(const Config& config);
std::uint64_t resident_bytes();

}  // namespace gsnake::train
