// A config whose model may be that of the run it is for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake::config {

// Of the run in that folder, if there is one.
using ModelOfRun = std::function<std::optional<ModelConfig>(const std::string& run_dir)>;

// As Config::load(). Where the file has no [model], it is what `model_of_run` says of run.dir, with the overrides on top.
Config load(const std::string& path, const std::vector<std::string>& overrides, const ModelOfRun& model_of_run);

}  // namespace gsnake::config
