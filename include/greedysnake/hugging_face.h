// Hugging Face folders in and out: config.json, safetensors, and what lies beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/unit.h"

namespace gsnake {

// Bytes of weights that were read or written so far, of how many. What it throws ends the work, which then leaves nothing behind.
using TransferProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

struct ImportOptions {
  bool overwrite = false;  // a run that is there
  TransferProgress progress;
};

struct ExportOptions {
  std::optional<Dtype> dtype;                 // fp32: the master weights; none: the run's train.dtype, of an adapter fp32
  bool merge = false;                         // of a run with an adapter: the whole model, with what the adapter does to it
  std::uint64_t shard_bytes = 5'000'000'000;  // of one file at most, but for a tensor that is larger
  std::string config_json;                    // of a model that is no built-in family: what config.json says, but for the dtype
  std::vector<std::string> ssd_paths;         // where the run's are now; empty: as run_config() finds them
  TransferProgress progress;
};

struct TransferReport {
  std::int64_t step = 0;  // of the run's commit
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;  // of weights, as the folder has them
  int files = 0;            // of weights
  Dtype dtype = Dtype::fp32;  // of the run (import), of the folder (export)
  double seconds = 0.0;
};

// A new run whose weights are those of config.model.from, committed as step 0: `train` goes on from there, with whatever settings do not
// change how state is stored. Needs some 300 MiB for a model of any size. Everything that the folder could be refused for is refused first:
// Error(input) that names file, tensor and offset; Error(usage), Error(storage) as Trainer.
TransferReport import_model(const Model& model, const Config& config, const ImportOptions& options = {});

// The weights of the last commit of the run in `run_dir`, which may be trained meanwhile, as a folder that appears at `to` when it is
// complete; of a run with an adapter, unless merged, PEFT's folder. Throws Error(usage) when there is something at `to` already, Error(storage).
TransferReport export_model(const Model& model, const std::string& run_dir, const std::string& to, const ExportOptions& options = {});
// The same of a run of a built-in family.
TransferReport export_run(const std::string& run_dir, const std::string& to, const ExportOptions& options = {});

struct QuantizeOptions {
  std::string format = "nf4";  // of the blocks' matrices: bf16, int8, nf4, mxfp4
  std::string embeddings;      // of embeddings and the head; "": bf16
  std::uint64_t seed = 1;      // of random numbers
  TransferProgress progress;   // of the base's bytes
};

struct BaseReport {
  std::string id;  // of its content
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  double seconds = 0.0;
};

// A frozen base for adapters (AdapterConfig::base), which appears at `to` when it is complete: of the weights in the Hugging Face folder `from`, which
// `shape` is read of, or, where that is "", of random numbers. In some 100 MiB and 4 bytes for every 64 elements of a matrix. Throws as
// import_model(); Error(usage) when there is something at `to` already; Error(storage), also where the drive has no room.
BaseReport quantize(const std::string& from, const ModelConfig& shape, const std::string& to, const QuantizeOptions& options = {});

// The config that a run was last committed with, with run.dir and ssd.paths where they are now: what lay in the run directory is taken to lie in
// `run_dir`, which may be a moved or copied one, or an SSD path; ssd_paths, if there are any, are taken as given. Throws Error(storage).
Config run_config(const std::string& run_dir, const std::vector<std::string>& ssd_paths = {});

}  // namespace gsnake
