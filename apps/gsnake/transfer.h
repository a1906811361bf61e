// What import and export have in common: progress, signals, what they report.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "greedysnake/hugging_face.h"
#include "run/signals.h"

namespace gsnake::command {

nlohmann::ordered_json to_json(const TransferReport& report);

// Calls `work`, which returns what is to be printed, with a progress that it tells; a signal stops it there, leaving nothing. Returns the
// exit status.
int transfer(const std::string& what, const std::function<std::string(const TransferProgress&)>& work);
// The same under the signals of a longer piece of work.
int transfer(const run::StopSignals& signals, const std::string& what, const std::function<std::string(const TransferProgress&)>& work);

}  // namespace gsnake::command
