// Runs of the command among faults.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace gsnake::test {

class FaultTest : public CommandTest {
 protected:
  // The C library's calls fail as `faults` says: see shim/fault_shim.cpp.
  static Surroundings among(const std::string& faults);
  // A run that nothing disturbs, in folders of its own.
  void train_undisturbed(std::vector<std::string> changes);
  // Losses of all steps, weights and moments equal those of train_undisturbed(), bit for bit.
  void expect_as_undisturbed();
  // Of the last commit of `run`; -1: there is none.
  [[nodiscard]] int committed_step(const std::string& run = "run");
  // The state of the last commit, byte by byte, put together from all paths.
  [[nodiscard]] std::string state(const std::string& run);
};

}  // namespace gsnake::test
