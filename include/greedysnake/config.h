// A run's settings, as in the TOML file (docs/config.md): one immutable value, validated once.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "greedysnake/choices.h"
#include "greedysnake/model_config.h"

namespace gsnake {

// A file of text or tokens; a plain path is one as well.
struct DataFile {
  std::string path;
  double weight = 0.0;  // its share of the rows, relative to the other files'; 0: none is given
  std::string mask;     // the file that says which of its tokens the loss counts; "": all
  TokenDtype dtype = TokenDtype::automatic;  // of its ids, where nothing in it says; automatic: as its name and first bytes say, uint16 for a bare .bin

  DataFile() = default;
  DataFile(std::string file) : path(std::move(file)) {}  // NOLINT: a path is a file
  DataFile(const char* file) : path(file) {}             // NOLINT
  bool operator==(const DataFile&) const = default;
};

struct DataConfig {
  std::vector<DataFile> train;
  std::vector<DataFile> validation;
  std::string tokenizer = "bytes";
  WindowOrder order = WindowOrder::shuffled;
  std::int64_t separator = -1;
  Documents documents = Documents::automatic;
  double validation_split = 0.0;  // of data.train's windows, the last ones
  TokenDtype dtype = TokenDtype::automatic;  // of the ids of a .bin that has no header and whose entry says nothing; automatic: uint16
};

struct TrainConfig {
  std::int64_t steps = 1000;
  std::int64_t micro_batches = 8;  // -1: auto
  std::int64_t micro_batch_size = 1;
  std::int64_t sequence_length = 1024;
  Dtype dtype = Dtype::bf16;
  ComputeDtype compute_dtype = ComputeDtype::automatic;
  std::int64_t compute_threads = 0;
  Schedule schedule = Schedule::vertical;
  MicroBatchOrder order = MicroBatchOrder::automatic;
  double delay = -1.0;  // -1: auto
  std::uint64_t seed = 1;
  std::int64_t validate_every = 0;
  std::int64_t validation_batches = 16;
  OnNonfinite on_nonfinite = OnNonfinite::automatic;
  ThreadPinning pin_threads = ThreadPinning::never;
  bool deterministic = true;
  double loss_scale = -1.0;       // -1: dynamic
  std::int64_t head_chunk = 256;  // tokens whose logits exist at once; part of the maths (the head's gradient sums)
  Objective objective = Objective::tokens;
  double dpo_beta = 0.1;
};

struct OptimizerConfig {
  UpdateRule name = UpdateRule::adamw;
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  bool decay_1d = false;
  double gradient_clipping = 0.0;
  ClippingMode clipping_mode = ClippingMode::automatic;
  std::int64_t warmup_steps = 0;
  LearningRateDecay decay = LearningRateDecay::constant;
  std::int64_t decay_steps = 0;
  double min_learning_rate = 0.0;
  MomentFormat moments = MomentFormat::fp32;
};

inline constexpr std::uint64_t kAutomaticBytes = ~std::uint64_t{0};

struct MemoryConfig {
  std::string device = "cpu";
  std::uint64_t device_budget = 2ULL << 30;  // kAutomaticBytes: auto
  std::uint64_t host_budget = 4ULL << 30;    // likewise
};

// Fractions of an object on each tier; the rest is on SSD.
struct TierFractions {
  double device = 0.0;
  double host = 0.0;
  bool automatic = false;
};

// The device's part of each trained object's updates; the CPU makes the others.
struct UpdateShare {
  double device = 0.0;
  bool automatic = false;
};

struct PlacementConfig {
  TierFractions weights;
  TierFractions optimizer;
  TierFractions activations{0.0, 1.0, false};
  TierFractions gradients{0.0, 1.0, false};
  TierFractions kept;  // on the device; what is not is recomputed
  UpdateShare update;
};

struct SsdConfig {
  std::vector<std::string> paths{"./ssd"};
  std::vector<double> weights;  // stripe shares, one per path; empty: measured
  EngineChoice engine = EngineChoice::automatic;
  ReadChecks verify = ReadChecks::always;
};

struct RunConfig {
  std::string dir = "./run";
  std::int64_t commit_every = 1;
  Durability durability = Durability::commit;
  std::int64_t snapshot_every = 0;
  std::int64_t snapshot_keep = 2;
  std::string metrics = "metrics.jsonl";
  std::string trace;
  std::int64_t trace_first = 2;
  std::int64_t trace_last = 4;
};

inline constexpr std::int64_t kUsualAdapterRank = 16;

// Small trained matrices beside a model whose own weights stay as they are.
struct AdapterConfig {
  std::int64_t rank = 0;  // 0: there is none, the whole model is trained
  double alpha = 32.0;
  double dropout = 0.0;
  std::vector<std::string> targets{"linear"};  // Hugging Face's names of modules; "linear": every matrix of the blocks
  std::vector<std::string> train_whole;        // modules that are trained beside the adapters
  AdapterVariant variant = AdapterVariant::lora;
  std::string base;  // a folder that `gsnake quantize` made; "": model.from, as train.dtype
  std::string from;  // a PEFT folder that a new run's adapters start from; "": they change nothing yet

  [[nodiscard]] bool present() const { return rank > 0; }
};

// Bytes a second (compute: FLOP/s); 0: not capped.
struct EmulateConfig {
  double ssd_read = 0.0;
  double ssd_write = 0.0;
  double h2d = 0.0;
  double d2h = 0.0;
  double optimizer = 0.0;
  double compute = 0.0;
  double collective = 0.0;
};

// Processes that run each step together. Which of them this is comes from whoever started them (ranks.h), not from the TOML.
struct RanksConfig {
  double timeout = 60.0;  // seconds without a sign of life from a rank, after which the others stop
  int rank = 0;
  int count = 1;
  int local_rank = 0;     // among those of this machine,
  int local_count = 1;    // which are so many
};

struct Config {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  MemoryConfig memory;
  PlacementConfig placement;
  SsdConfig ssd;
  RunConfig run;
  AdapterConfig adapter;
  RanksConfig ranks;
  EmulateConfig emulate;

  // The defaults with everything "auto" that is no part of the maths: placements, delay, budgets.
  static Config automatic();

  // Reads and validates a TOML file. `overrides` are "section.key=value" with a TOML value or bare text. Relative paths in the file are
  // relative to the file, those in overrides to the current folder. Throws Error(usage): an unknown key is named with the nearest valid
  // one, a wrong type or a value out of range with what is allowed; Error(input) when the file can't be read.
  static Config load(const std::string& path, const std::vector<std::string>& overrides = {});
  static Config parse(const std::string& toml, const std::string& base_dir = ".", const std::vector<std::string>& overrides = {});
  void validate() const;                      // Error(usage)
  // Whether it leaves anything to the planner: placements, budgets, micro-batches or moments that are "auto". (A delay that is "auto" is the
  // planner's only beside one of these; else it is 0, or 1 under a guard.)
  [[nodiscard]] bool leaves_choices() const;
  [[nodiscard]] std::string to_json() const;  // the whole config, defaults included, in the TOML's structure
};

}  // namespace gsnake
