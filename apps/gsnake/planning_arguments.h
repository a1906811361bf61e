// What `gsnake plan` and `gsnake simulate` are told of a config and a machine.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/models.h"
#include "train/planning_basis.h"

namespace gsnake::command {

// Of each rank, of those that throughput is shown for.
inline constexpr std::int64_t kMostMicroBatches = 32;

struct PlanningArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool automatic = false;  // what the config leaves out is left to the planner
  std::string machine;
  std::string base_format;
  double seconds = 25.0;  // that measuring should take
  int ranks = 0;          // 0: as torchrun's variables say, or one
  int local_ranks = 0;    // of them on one machine; 0: all
  std::string link;       // between ranks, in place of the profile's: "12 GB/s"; "": that
  bool computes = true;   // units of the model, to measure them and what LibTorch takes
  bool json = false;
};

void add_planning_options(CLI::App& command, PlanningArguments& arguments);

Config load_config(const PlanningArguments& arguments);

// A config's model, and what it is planned from.
struct Planning {
  Model model;
  std::unique_ptr<train::PlanningBasis> basis;
};
// Says on stderr what is measured.
Planning prepare_planning(const Config& config, const PlanningArguments& arguments, train::Measuring measuring);

}  // namespace gsnake::command
