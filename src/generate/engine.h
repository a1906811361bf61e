// A model of a run or of a folder, ready to be computed within the budgets.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "generate/cache_memory.h"
#include "generate/pass_runner.h"
#include "generate/placement.h"
#include "generate/weight_feed.h"
#include "generate/weight_source.h"
#include "greedysnake/generator.h"
#include "torch/process.h"
#include "train/parts.h"

namespace gsnake::generate {

// What passes are to hold.
struct Demand {
  std::vector<std::int64_t> capacities;  // tokens, by text, whose keys and values are kept; empty: units are called without a cache
  std::int64_t tokens = 1;               // of a pass
  std::int64_t parts = 1;                // without a cache: texts of a pass
  std::int64_t longest = 1;              // likewise: tokens of one
  std::uint64_t result_bytes = 0;        // of host memory, that the caller keeps what comes of a pass in
  // The most that is done with a part's head, for a dry run.
  std::function<void(HeadUnit& head, const torch::Tensor& hidden)> head;
};

class Engine {
 public:
  // As Generator's constructors. Throws Error(usage), Error(storage), Error(input).
  static std::unique_ptr<Engine> of_run(std::optional<Model> model, const std::string& run_dir, const ModelOptions& options, const train::Parts& parts = {});
  static std::unique_ptr<Engine> of_folder(const std::string& folder, const ModelOptions& options, const train::Parts& parts = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] std::int64_t vocab() const { return layout_.vocab; }
  // A text may be so long.
  [[nodiscard]] std::int64_t context() const { return context_; }
  // Whether all units keep what they need of earlier tokens.
  [[nodiscard]] bool has_cache() const { return has_cache_; }
  // Plans memory and loads what stays there, unless what was prepared before serves as well. Throws Error(budget); as WeightSource::read().
  void prepare(const Demand& demand);
  // Parts of a pass are not larger from the next prepare() on.
  void limit_parts(std::int64_t tokens) { most_part_tokens_ = tokens; }
  // After prepare(): tokens that a part holds at most, with a cache.
  [[nodiscard]] std::int64_t part_tokens() const { return shape_of_pass_.part_tokens; }
  [[nodiscard]] PassRunner& runner() { return *runner_; }
  [[nodiscard]] const std::vector<MemoryItem>& memory() const { return memory_.items; }
  // From a drive, for passes so far.
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_before_ + (feed_ ? feed_->stored_bytes() : 0); }

 private:
  Engine(Config config, Model model, const train::Parts& parts);
  void set_context(std::int64_t usual, const ModelOptions& options);
  [[nodiscard]] bool serves(const Demand& demand) const;
  [[nodiscard]] MemoryNeeds needs_of(const Demand& demand) const;
  [[nodiscard]] CacheShape cache_shape(const Demand& demand) const;
  std::optional<std::uint64_t> peak(const Demand& demand, std::int64_t tokens, std::uint64_t most_bytes);
  std::optional<std::uint64_t> peak_of(const Demand& demand, int unit, std::int64_t tokens, std::int64_t past, std::uint64_t most_bytes);
  std::optional<std::uint64_t> temporaries(const Demand& demand, std::int64_t tokens, std::uint64_t most_bytes);
  void find_place(const Demand& demand);

  const Config config_;
  const std::shared_ptr<const backend::ProcessSettings> torch_;
  train::ComputeDevice computes_on_;
  const bool on_host_;
  Model model_;
  std::optional<base::Base> base_;
  plan::ModelLayout layout_;
  backend::ComputeShape shape_;
  std::unique_ptr<backend::TorchBackend> backend_;
  std::unique_ptr<store::Store> store_;
  std::optional<hf::WeightsFolder> folder_;
  convert::ImportPlan import_;
  std::unique_ptr<WeightSource> source_;
  std::int64_t context_ = 0;
  std::int64_t most_part_tokens_ = 512;  // enough for a processor to be busy
  bool has_cache_ = false;
  // As prepared.
  Demand demand_;
  PassShape shape_of_pass_;
  GenerationMemory memory_;
  std::unique_ptr<WeightFeed> feed_;
  std::unique_ptr<CacheMemory> cache_;
  std::unique_ptr<PassRunner> runner_;
  std::uint64_t stored_before_ = 0;
};

}  // namespace gsnake::generate
