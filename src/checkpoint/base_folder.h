// The base of a run's frozen weights: named by its content, found again where it lies.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "greedysnake/config.h"

namespace gsnake::checkpoint {

// What a commit keeps of it. Empty: the run has none.
struct BaseOfRun {
  std::string id;        // of its content
  std::string relative;  // where it lay, from run.dir
};

BaseOfRun base_of_run(const std::string& id, const Config& config);
nlohmann::json to_json(const BaseOfRun& base);
BaseOfRun base_from(const nlohmann::json& training);

// A path says nothing of what lies there: throws Error(usage) where the base that is open (`id`, "" for none) is not the commit's.
void refuse_other_base(const nlohmann::json& training, const std::string& id, const Config& config);

// Where config.adapter.base is now: there, or else where it lies relative to run.dir, which may have been moved with it. As the config has it
// where neither is a base, or none is named.
std::string base_folder(const Config& config);
// The same of a run whose commit is at hand.
std::string base_folder(const Config& config, const nlohmann::json& training);

}  // namespace gsnake::checkpoint
