// Processes that run each step together: torchrun, mpirun or Slurm start them (docs/ranks.md).
#pragma once

#include <string>

#include "greedysnake/config.h"

namespace gsnake {

// `config` with what torchrun's variables say of this process: RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE. As it is where WORLD_SIZE is
// not set. Throws Error(usage) that names the variable.
RanksConfig ranks_of_environment(RanksConfig config);

// The folder of rank `rank` of `count` for what is kept under `path`, an entry of ssd.paths, or run.dir: `path` itself where there is one rank.
// "{local_rank}" in it stands for `local_rank`.
std::string folder_of_rank(const std::string& path, int rank, int count, int local_rank);
// Of the rank that the config is for.
std::string own_folder(const std::string& path, const RanksConfig& ranks);

}  // namespace gsnake
