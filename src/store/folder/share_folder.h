// Where each of several ranks keeps its share of a run: FOLDER/rank-I/of-N, below every folder of the run (folder_of_rank() of greedysnake/ranks.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gsnake::store {

struct ShareFolder {
  std::string base;  // FOLDER
  int rank = 0;
  int ranks = 1;
  std::string path;
};

// Of a path that ends so.
[[nodiscard]] std::optional<ShareFolder> share_of(const std::string& path);
// Those that are in `base`, by number of ranks, then by rank; none where there is no such folder. Throws Error(storage) where it can't be listed.
[[nodiscard]] std::vector<ShareFolder> share_folders_in(const std::string& base);

}  // namespace gsnake::store
