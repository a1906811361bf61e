// What a trainer tells of a step, of the bytes that it moved, and of the run.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "greedysnake/error.h"

namespace gsnake {

// compute, h2d, d2h, ssd_read, ssd_write, optimizer, collective, commit
inline constexpr int kLanes = 8;
const char* lane_name(int lane);

// Of preference pairs (train.objective = "dpo"). An answer's reward is train.dpo_beta times what the model's log probability of it has gained on the
// reference's (Rafailov et al., 2023); means over pairs, NaN where none has a counted label.
struct Rewards {
  double chosen = 0.0;
  double rejected = 0.0;
  double accuracy = 0.0;  // the share of pairs whose chosen answer has the higher reward
  double margin = 0.0;    // chosen - rejected
};

struct StepResult {
  std::int64_t step = 0;   // attempts, from 1
  double loss = 0.0;       // mean over the step's counted tokens; NaN where it counts none, whose gradient is then 0
  double grad_norm = 0.0;  // L2 over all parameters, tied ones once; before clipping, without the loss scale
  double learning_rate = 0.0;
  double loss_scale = 1.0;  // that the step ran with; fp16
  bool skipped = false;     // not finite: it changed nothing (train.on_nonfinite = "skip")
  bool redone = false;      // updates that were made before the clip factor was known were done over (optimizer.clipping_mode = "speculative")
  std::int64_t tokens = 0;  // counted
  double step_ms = 0.0;     // since the step before had its results, or since the start
  double tokens_per_second = 0.0;
  std::array<double, kLanes> lanes{};  // milliseconds in which each lane had at least one task, since the step before had its results
  double predicted_ms = 0.0;  // what the simulator said of step_ms before the run; 0: nothing, for want of a machine profile
  std::optional<Rewards> rewards{};  // of preference pairs, before the update; nothing under another objective
};

// How far the step is that somebody waits for (or the validation, or the commit), in tasks.
struct AwaitedWork {
  std::int64_t tasks_done = 0;
  std::int64_t tasks = 0;        // 0: nothing was awaited yet
  double in_hand_seconds = 0.0;  // of the task that has been under way longest, of any step; 0: none is
  double longest_seconds = 0.0;  // that a task of its lane has taken before
};

// Thrown for the step whose loss or gradient norm is not finite, with what else is known of it.
class NonFiniteError : public Error {
 public:
  NonFiniteError(const std::string& message, const StepResult& result) : Error(ErrorKind::non_finite, message), result_(result) {}
  [[nodiscard]] const StepResult& result() const noexcept { return result_; }

 private:
  StepResult result_;
};

// Since the call before. Bytes are those of the steps (and validations, commits) whose results were given out, moved or about to move:
// a step's graph includes the delayed part of the update before it.
struct Traffic {
  std::uint64_t ssd_read_bytes = 0;
  std::uint64_t ssd_write_bytes = 0;
  std::uint64_t h2d_bytes = 0;
  std::uint64_t d2h_bytes = 0;
  std::uint64_t dequantised_elements = 0;  // of matrices in a base, each as often as it was dequantised
  std::array<double, kLanes> busy_ms{};  // time with at least one task in hand
};

struct MemoryItem {
  std::string tier;  // "host" or "device"
  std::string name;
  std::uint64_t bytes = 0;
  std::string detail;
};

struct SsdPathUse {
  std::string path;
  std::uint64_t bytes = 0;  // preallocated there
};

// What the simulator says of a run's steps, on a profile of the machine (docs/planner.md).
struct Prediction {
  std::string machine;          // the profile's name; empty: there was none, and nothing is predicted
  std::vector<double> step_ms;  // of the first steps of this process; the last of them counts for all later ones
  std::array<double, kLanes> busy_ms{};   // of a steady step, by lane
  std::array<double, kLanes> limit_ms{};  // what the lane's work of a step would take if nothing else used what it needs
};

// What a run settled on before its first step.
struct RunReport {
  std::string run_id;
  std::string io_engine;
  std::string io_reason;
  bool direct_io = false;
  std::string buffered_reason;
  bool io_registered = false;        // transfers to and from slots need no pinning of memory
  std::string unregistered_reason;  // why not
  std::vector<SsdPathUse> ssd_paths;
  std::string compute_dtype;
  std::string formats;  // how weights and moments are stored, and the optimizer
  std::string guard;    // what updates wait for; empty: nothing
  int compute_threads = 0;
  int optimizer_threads = 0;
  double delay = 0.0;            // effective, after rounding
  std::string order;             // snake or ascending
  std::uint64_t parameters = 0;  // tied ones once
  std::uint64_t trained_parameters = 0;  // of these
  std::string base;                      // the folder of frozen weights that are packed, and how; empty: there is none
  std::uint64_t host_bytes = 0;  // charged to the budget
  std::uint64_t device_bytes = 0;
  std::uint64_t base_bytes = 0;  // resident beside what the budgets are charged with: libraries, code, stacks
  std::vector<MemoryItem> memory;
  std::uint64_t formula_ssd_read_bytes = 0;  // of a steady step, by the closed formulas (docs/schedule.md)
  std::uint64_t formula_ssd_write_bytes = 0;
  std::uint64_t in_memory_bytes = 0;  // what training without offload holds: weights, gradients, moments, checkpoints of all micro-batches
  std::int64_t resumed_step = 0;      // 0: a new run
  Prediction prediction;
  std::vector<std::string> choices;   // the planner's, as a config has them: "train.delay = 0.5"; empty: it had none
};

}  // namespace gsnake
