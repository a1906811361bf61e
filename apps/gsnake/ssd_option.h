// The option by which a reader of a run is told where its SSD paths are now.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace gsnake::command {

inline void add_ssd_paths(CLI::App& command, std::vector<std::string>& paths) {
  command.add_option("--ssd", paths, "all SSD paths of the run, if they are elsewhere than when it was committed");
}

}  // namespace gsnake::command
