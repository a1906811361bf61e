// The optimizer on the CPU: updates, sums and norms of chunks, and what comes of steps; most urgent first, on threads of its own.
#pragma once

#include <thread>

#include "core/topology.h"
#include "runtime/agreement.h"
#include "runtime/lane.h"
#include "runtime/places.h"

namespace gsnake::runtime {

class OptimizerLane final : public LaneRunner {
 public:
  struct Options {
    double emulated_rate = 0.0;  // bytes/s over all threads; 0: not capped
    std::size_t most_ready = 0;
    unsigned threads = 1;
    std::vector<const optim::Optimizer*> optimizers;       // by object; null where it is frozen
    std::vector<std::vector<optim::DecayRun>> decay_runs;  // by object
    Policy policy;
    std::vector<core::Cpus> cpus;  // by thread; empty: any
    Agreement* agreement = nullptr;  // of several ranks, on what comes of steps; borrowed
  };
  OptimizerLane(Options options, const schedule::Map& map, const MemoryImage& memory, TaskSink& sink);
  ~OptimizerLane() override { stop(); }

  void ready(Flight& flight, TaskId task) override;
  void stop() noexcept override;
  [[nodiscard]] std::optional<InHand> oldest() override;

 private:
  void work(unsigned index);
  void run(Flight& flight, TaskId task);
  void update(Flight& flight, const schedule::Task& task);
  void norm(Flight& flight, const schedule::Task& task);
  void inspect(const Flight& flight, const schedule::Task& task) const;
  void note_bad_weight(const Flight& flight, const schedule::Task& task, int object) const;
  void conclude(Flight& flight, const schedule::Task& task);
  // What a rank has found of a step's gradients: of what it owns.
  struct Found {
    double squares = 0.0;     // the sum, of gradients that still have the loss scale
    int bad_gradient = -1;    // object whose gradient is not finite; the last of them
  };
  [[nodiscard]] Found look_at_norms() const;
  // Everybody's results by rank and micro-batch; and, in the order of ranks, what all have found.
  std::span<const double> share_results(std::span<const double> own, Found& found);
  void decide(Flight& flight, const Found& found);
  [[nodiscard]] double* norm_partials(const Flight& flight, const schedule::Task& task) const { return address<double>(flight, task, schedule::Role::norm); }
  template <typename T>
  [[nodiscard]] T* address(const Flight& flight, const schedule::Task& task, schedule::Role role) const {
    return places_.host(flight, task, role).as<T>();
  }

  const Options options_;
  const schedule::Map& map_;
  const MemoryImage& memory_;
  const Places places_;
  TaskSink& sink_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Throttle throttle_;  // under mutex_
  ReadyQueue queue_;
  std::vector<std::optional<InHand>> in_hand_;  // by thread; under mutex_
  // Of several ranks, for one conclude at a time, as edges have it: what this rank says, and all.
  std::vector<double> said_;
  std::vector<double> heard_;
  std::vector<double> results_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gsnake::runtime
