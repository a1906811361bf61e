// Samples from a trained run, streaming its weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake {

struct SamplingOptions {
  double temperature = 0.8;  // 0: the most likely token
  std::int64_t top_k = 0;    // the most likely ones; 0: all
  double top_p = 1.0;        // then the fewest whose probabilities reach it, at least one; 1: all
  std::uint64_t seed = 1;  // of the first call; later ones go on
};

// Throws Error(usage) that names the option.
void check(const SamplingOptions& options);

// Opens a run's last commit for reading, also while it is trained: until this ends, its trainer commits no other step on its way, and waits
// for it when it has to (the first step after a Trainer::commit() that came meanwhile; every run that overwrites its one slot). Weights
// stream from SSD for every token; nothing but slots is held in memory. No keys and values are kept from token to token: each call runs the
// whole prefix, so that n tokens cost n passes of up to train.sequence_length tokens.
class Generator {
 public:
  // run_dir and ssd_paths: as of run_config(). device: in place of the run's memory.device, "" for that. Throws Error(storage) when run_dir holds no commit, Error(budget) when the config's budgets are too small.
  explicit Generator(const std::string& run_dir, const std::vector<std::string>& ssd_paths = {}, const std::string& device = {});
  ~Generator();

  // The token that follows `tokens` (the last train.sequence_length of them). Throws Error(usage) when there is none, or one is not below
  // model.vocab, and as check(options).
  std::int64_t next(const std::vector<std::int64_t>& tokens, const SamplingOptions& options);
  [[nodiscard]] const Config& config() const;  // run.dir and ssd.paths are where they were found

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake
