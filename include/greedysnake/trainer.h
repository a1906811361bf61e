// Trains a model whose weights, optimizer state and activations are streamed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/unit.h"

namespace gsnake {

// One step's tokens, or any number of micro-batches for validation: (micro_batches, micro_batch_size, sequence_length), row-major.
struct Batch {
  std::vector<std::int64_t> inputs;
  std::vector<std::int64_t> labels;  // kIgnoredLabel: not counted
};

// compute, h2d, d2h, ssd_read, ssd_write, optimizer, collective
inline constexpr int kLanes = 7;
const char* lane_name(int lane);

struct StepResult {
  std::int64_t step = 0;     // attempts, from 1
  double loss = 0.0;         // mean over the step's counted tokens
  double grad_norm = 0.0;    // L2 over all parameters, tied ones once
  double learning_rate = 0.0;
  std::int64_t tokens = 0;   // counted
  double step_ms = 0.0;      // since the step before had its results, or since the start
  double tokens_per_second = 0.0;
};

// Since the call before. Bytes are those of the steps (and validations, commits) whose results were given out, moved or about to move:
// a step's graph includes the delayed part of the update before it.
struct Traffic {
  std::uint64_t ssd_read_bytes = 0;
  std::uint64_t ssd_write_bytes = 0;
  std::uint64_t h2d_bytes = 0;
  std::uint64_t d2h_bytes = 0;
  std::array<double, kLanes> busy_ms{};  // time with at least one task in hand
};

struct MemoryItem {
  std::string tier;  // "host" or "device"
  std::string name;
  std::uint64_t bytes = 0;
  std::string detail;
};

// What a run settled on before its first step.
struct RunReport {
  std::string run_id;
  std::string io_engine;
  std::string io_reason;
  bool direct_io = false;
  std::string buffered_reason;
  std::string compute_dtype;
  int compute_threads = 0;
  double delay = 0.0;                    // effective, after rounding
  std::string order;                     // snake or ascending
  std::uint64_t parameters = 0;          // tied ones once
  std::uint64_t host_bytes = 0;          // charged to the budget
  std::uint64_t device_bytes = 0;
  std::uint64_t base_bytes = 0;          // resident beside what the budgets are charged with: libraries, code, stacks
  std::vector<MemoryItem> memory;
  std::uint64_t formula_ssd_read_bytes = 0;   // of a steady step, by the closed formulas (docs/schedule.md)
  std::uint64_t formula_ssd_write_bytes = 0;
  std::uint64_t in_memory_bytes = 0;     // what training without offload holds: weights, gradients, moments, checkpoints of all micro-batches
  std::int64_t resumed_step = 0;         // 0: a new run
};

enum class Resume { automatic, never, must };

struct TrainerOptions {
  Resume resume = Resume::automatic;     // from the last commit in run.dir
  bool overwrite = false;                // with Resume::never: over a run that is there
  std::vector<std::string> allow_change;  // keys whose change a resume accepts although it changes the maths
};

// One thread drives a trainer. Everything that can be refused is refused by the constructor, with nothing left behind: Error(usage),
// Error(budget) with a table, Error(storage). A failure in a step surfaces in step(), wait() or commit(), once and for good.
class Trainer {
 public:
  Trainer(Model model, const Config& config, const TrainerOptions& options = {});
  ~Trainer();  // a run that never committed leaves nothing behind
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) = delete;

  // One optimizer update over all micro-batches. Returns when loss and gradient norm are known; what is left of the update runs on.
  StepResult step(const Batch& batch);

  // The same in two halves, so that the next step's reads begin before this one ends: at most two steps are submitted and not waited for.
  void submit(const Batch& batch);
  StepResult wait();  // for the oldest that was submitted

  // Mean loss over all micro-batches, in evaluation mode. No step may be waiting.
  double validate(const Batch& batch);

  // Applies what is delayed, brings everything to SSD and writes the manifest: the run can be resumed, exported and sampled from here.
  void commit();

  // Of the state on SSD after commit(): unit `unit`'s parameters, flat, fp32, in registration order, each padded to 16 elements.
  std::vector<float> weights(std::int64_t unit);

  // Windows of data taken so far: the caller's to set, kept in the manifest, given back by a resume.
  void set_data_cursor(std::uint64_t cursor);
  [[nodiscard]] std::uint64_t data_cursor() const;

  Traffic take_traffic();
  [[nodiscard]] std::int64_t completed_steps() const;
  [[nodiscard]] std::int64_t committed_step() const;
  [[nodiscard]] const RunReport& report() const;

  // Steps submitted from now on are recorded, until write_trace() writes them (Chrome/Perfetto JSON) and stops recording.
  void record_trace();
  void write_trace(const std::string& path);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake
