// What a trainer and a generator share: a model over a store, a device and an executor.
#pragma once

#include <memory>

#include "device/device.h"
#include "optim/optimizer.h"
#include "runtime/executor.h"
#include "train/planning.h"
#include "train/torch_backend.h"

namespace gsnake::train {

enum class Purpose : std::uint8_t { train, sample };

// Everything that can be refused without touching a drive, then everything that must exist before the first step. The members' order is the
// order in which they are made, and the reverse of the order in which they end.
struct Session {
  // Rehearses the units, plans memory, builds the program; touches no drive. Throws Error(usage), Error(budget).
  Session(Model model, const Config& config, Purpose purpose);

  // Allocates slots, starts the lanes and loads what placement keeps in memory. The store is set by then, its state in `slot`.
  void start(int slot);

  // The state's slot after `updates` more updates.
  [[nodiscard]] int slot_after(std::int64_t updates) const;
  // Before Variant::finish: what is kept in memory goes to the slot where the rest of the state is.
  void aim_flush(int slot);

  Config config;
  Model model;
  ModelLayout layout;
  ComputeShape shape;
  TorchBackend backend;
  schedule::Problem problem;
  MemoryPlan memory;
  std::uint64_t temporaries = 0;  // LibTorch's, in bytes
  std::uint64_t base_bytes = 0;   // resident beside what is charged to the budgets; known after start()
  schedule::Program program;
  store::Layout store_layout;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<device::Device> device;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<runtime::Executor> executor;
  int start_slot = 0;
};

store::StoreOptions store_options(const Config& config);
std::uint64_t resident_bytes();

}  // namespace gsnake::train
