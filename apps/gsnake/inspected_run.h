// What `gsnake inspect` says of a run.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "checkpoint/rank_folders.h"

namespace gsnake::command {

// Throws Error(storage), and nlohmann::json::exception where its manifests lack what a training run's have.
nlohmann::ordered_json describe_run(const checkpoint::RunPlace& run);
// Of that, for people.
std::string run_text(const nlohmann::ordered_json& run);

}  // namespace gsnake::command
