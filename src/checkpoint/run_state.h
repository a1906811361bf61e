// What a training checkpoint's manifest says of the training, and whether a config may go on from it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/base_folder.h"
#include "greedysnake/batch_source.h"
#include "greedysnake/config.h"

namespace gsnake::checkpoint {

struct RunState {
  std::int64_t step = 0;        // attempts
  std::int64_t updates = 0;     // attempts that were not skipped
  double loss_scale = 1.0;      // of the next step
  std::int64_t good_steps = 0;  // since the loss scale last changed
  DataPosition position;        // of the data, after the step's batch
  int compute_threads = 0;      // in effect; part of the maths
  std::string compute_dtype;    // likewise
  std::vector<std::uint64_t> elements;  // of each object
  int ranks = 1;                        // that the commit is shared among
  std::int64_t reshardings = 0;         // how often that number has changed
  std::string frozen_parameters;        // of units that are trained in part: a hash of the names of what is frozen; empty: there is none
  BaseOfRun base;                       // of frozen weights that are packed
  std::shared_ptr<const nlohmann::json> data;  // of data.train, as data::identity_of(); nullptr: not known
};

nlohmann::json to_json(const RunState& state, const Config& config);
// Throws Error(storage) when the manifest is not of a training run.
RunState run_state_from(const nlohmann::json& training);
// The config that the run was made with, as Config::to_json() wrote it, and as a Config again.
nlohmann::json config_from(const nlohmann::json& training);
Config parse_config(const nlohmann::json& config);

// Of a run that was imported and not trained yet, which may be trained in any way that its files have room for. Throws Error(usage) that names
// the first key that would change what is stored.
void refuse_changed_storage(const nlohmann::json& before, const Config& now);

// Throw Error(usage) that names the first key whose change would change the maths, unless `allowed` names it.
void refuse_changed_compute(const RunState& before, int threads, const std::string& dtype, const std::vector<std::string>& allowed);
// changed_data: how the data of data.train differs, "" where it is the same; without it, the paths there stand for the data.
void refuse_changed_maths(const nlohmann::json& before, const Config& now, const std::optional<std::string>& changed_data, const std::vector<std::string>& allowed);

}  // namespace gsnake::checkpoint
