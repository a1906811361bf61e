// An optimizer's update beside what memory allows: what `gsnake bench optimizer` measures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace gsnake::bench {

struct OptimizerOptions {
  UpdateRule rule = UpdateRule::adamw;
  std::vector<optim::WeightFormat> formats{optim::WeightFormat::fp32, optim::WeightFormat::bf16, optim::WeightFormat::fp16};
  optim::MomentFormat moments = optim::MomentFormat::fp32;
  bool norm = true;                         // take the gradient's norm partials in the same pass, as a training step does
  std::vector<unsigned> threads;            // empty: 1 and 2, as far as there are cores
  std::uint64_t parameters = 32ULL << 20U;  // take more than the last-level cache holds
  int repeats = 15;
  bool cpu_time = false;  // of the slowest thread, instead of time on the clock: leaves out waits for a core that others use
  std::string target;     // a SIMD target instead of the best one
};

struct Spread {
  double median = 0.0;
  double low = 0.0;
  double high = 0.0;
};

// One format and number of threads. Rates are bytes read and written by the update, in 1e9 a second.
struct OptimizerResult {
  optim::WeightFormat format = optim::WeightFormat::fp32;
  unsigned threads = 1;
  std::uint64_t read_bytes = 0;     // per parameter
  std::uint64_t written_bytes = 0;  // per parameter
  Spread update;
  Spread limit;
  Spread ratio;

  [[nodiscard]] double bytes() const { return static_cast<double>(read_bytes + written_bytes); }
  [[nodiscard]] double mega_parameters() const { return update.median * 1e3 / bytes(); }  // a second
};

struct OptimizerReport {
  std::string cpu;
  unsigned cores = 0;
  std::int64_t last_level_cache_bytes = 0;  // 0: unknown
  double load_average = 0.0;                // over the minute before the start: other work on the machine
  std::string target;
  OptimizerOptions options;
  std::vector<OptimizerResult> results;
};

// Blocks for the whole run. One warm-up, then `repeats` rounds of: the limit, the update, the limit asking for its data ahead, by two
// distances. The limit is a loop over the same arrays on the same threads that reads and writes what the update reads and writes and hardly
// computes; of its three forms the fastest counts, round by round. Every thread has a contiguous part, on huge pages where the kernel has
// them. Throws Error(usage) for an unknown target, or no parameters.
OptimizerReport bench_optimizer(OptimizerOptions options);

}  // namespace gsnake::bench
