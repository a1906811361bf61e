// A run on disk as another number of ranks would have it, without training it.
#pragma once

#include <string>
#include <vector>

namespace gsnake::test {

// What is in `run_dir` and its SSD paths, of any number of ranks, goes on as that of `ranks`, at the same step.
void share_among(const std::string& run_dir, const std::vector<std::string>& ssd_paths, int ranks);

}  // namespace gsnake::test
