// The model and the run that the tests on a real GPU lay out in different ways.
#pragma once

#include <greedysnake/greedysnake.h>

#include <cstdint>
#include <string>

#include "temporary_folder.h"

namespace gsnake::test {

inline constexpr std::int64_t kMicroBatches = 4;
inline constexpr std::int64_t kTokens = 128;
inline constexpr std::int64_t kVocab = 1000;

// Three blocks, without dropout, micro-batches in ascending order, 1 GiB for either budget.
inline Config small_gpu_config(ModelFamily family, Dtype dtype, const std::string& device, const TemporaryFolder& folder) {
  Config config;
  config.model.family = family;
  config.model.layers = 3;
  config.model.hidden = 256;
  config.model.heads = 4;
  config.model.kv_heads = family == ModelFamily::gpt2 ? 0 : 2;
  config.model.vocab = kVocab;
  config.model.context = kTokens;
  config.model.dropout = 0.0;
  config.train.micro_batches = kMicroBatches;
  config.train.sequence_length = kTokens;
  config.train.dtype = dtype;
  config.train.order = MicroBatchOrder::ascending;
  config.memory.device = device;
  config.memory.device_budget = 1ULL << 30U;
  config.memory.host_budget = 1ULL << 30U;
  config.ssd.paths = {folder / "ssd"};
  config.run.dir = folder / "run";
  return config;
}

}  // namespace gsnake::test
