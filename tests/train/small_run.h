// Small models, configs and data for tests of the trainer, each run in a temporary folder of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "greedysnake/greedysnake.h"
#include "reference/reference_loop.h"

namespace gsnake::test {

class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline constexpr std::int64_t kRows = 2;
inline constexpr std::int64_t kTokens = 16;

// Every unit holds at least 64k elements (a tied head apart, which has its norm alone).
ModelConfig small_gpt2();   // tied, with dropout
ModelConfig small_llama();  // grouped-query attention, untied
ModelConfig small_family(ModelFamily family);

// fp32 on everything: SSD, one path, one slot; with `micro_batches`.
Config small_config(const ModelConfig& model, std::int64_t micro_batches, const TempFolder& folder);

// The same tokens for the trainer and the reference; labels with some ignored ones.
std::vector<Batch> random_batches(std::int64_t steps, std::int64_t micro_batches, std::int64_t vocab);
std::vector<reference::MicroBatch> micro_batches_of(const Batch& batch);

struct Outcome {
  std::vector<double> losses;
  std::vector<double> grad_norms;
  std::vector<bool> skipped;
  std::vector<bool> redone;                 // of the streamed run alone
  std::vector<double> factors;              // of gradients: clipping and the loss scale; of the run in memory alone
  std::vector<std::vector<float>> weights;  // by unit
  std::vector<std::vector<float>> moment1;
  std::vector<std::vector<float>> moment2;  // empty where the optimizer has none
};

Outcome train_streamed(const Config& config, const std::vector<Batch>& batches, const TrainerOptions& options = {});
Outcome train_in_memory(const Config& config, const std::vector<Batch>& batches, reference::Order order);

// Losses, gradient norms, skipped steps, weights and moments are the same bits.
void expect_equal(const Outcome& streamed, const Outcome& in_memory);

// After a step that is committed, the next ones' learning rate is too high for any weight: the run ends, and that step stays the last commit.
void expect_unstorable_weight_ends_the_run(Config config, const std::vector<Batch>& batches, TrainerOptions options = {});

}  // namespace gsnake::test
