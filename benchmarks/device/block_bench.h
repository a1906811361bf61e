// A block of a model as a step computes it, beside its products and its attention alone: what `gsnake bench step` measures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/measure.h"
#include "greedysnake/config.h"

namespace gsnake::bench {

struct BlockOptions {
  std::string device = "cpu";
  ModelConfig model;  // of one block; `vocab` counts for nothing
  Dtype dtype = Dtype::bf16;
  std::int64_t rows = 1;
  std::int64_t tokens = 1024;
  int repeats = 9;
  int threads = 0;  // of the CPU device; 0: all cores
  bool deterministic = true;  // on a GPU
};

// One thing that the block does, done alone as often as a step does it.
struct BlockPart {
  std::string what;  // "q_proj: forward, recomputed", "attention: backward"
  double flops = 0.0;
  Range ms;
};

struct BlockReport {
  BlockOptions options;
  std::string compute_dtype;
  std::vector<BlockPart> parts;
  Range forward_ms;
  Range backward_ms;   // recomputation and backward
  Range limit_ms;      // the parts, added up
  Range ratio;         // forward and backward over the limit, round by round
  double flops = 0.0;  // of forward, recomputation and backward
  double best_flops_per_second = 0.0;  // of the fastest part
  // Model FLOP utilisation: the forward's and backward's work, without the recomputation, over what the fastest part's rate would do in the time.
  double utilisation = 0.0;
};

// Three warm-ups, then `repeats` rounds in turn; on a GPU each is done ten times in one submission, so that what it takes to launch and to wait counts for little. Throws Error(usage) where the device can't be had, or the block can't be built.
BlockReport bench_block(const BlockOptions& options);

}  // namespace gsnake::bench
