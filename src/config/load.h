// A config whose model may be that of the run it is for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake::config {

// Of the run that the config is for, by its run.dir and ssd.paths, if there is one.
using ModelOfRun = std::function<std::optional<ModelConfig>(const Config& config)>;

// As Config::load(). Where the file has no [model], it is what `model_of_run` says, with the overrides on top. What neither says is as in
// `initial`.
Config load(const std::string& path, const std::vector<std::string>& overrides, const ModelOfRun& model_of_run, const Config& initial = {});

}  // namespace gsnake::config
