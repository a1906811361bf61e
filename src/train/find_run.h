// Which run in a config's folders a trainer goes on with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/rank_folders.h"
#include "dist/rank_group.h"
#include "greedysnake/trainer.h"

namespace gsnake::train {

struct RunToOpen {
  bool goes_on = false;                             // else it is a new one
  std::optional<std::uint64_t> generation{};        // of this rank's share, where several ranks have one each
  std::optional<checkpoint::RunFound> of_others{};  // of another number of ranks, to be shared out anew
  std::vector<std::string> left{};                  // folders of still other numbers, which no longer count
};

// All ranks of the group (null: there is one) find the same. A run whose run.dir was lost lives on in its SSD paths: to go on with it must be asked for, as they
// may be another run's. Throws Error(usage) where the options ask for a commit and there is none, or would lose one; Error(storage) where what is there is not whole.
RunToOpen find_run(const Config& config, const TrainerOptions& options, dist::RankGroup* group);

// Whether there is a commit to go on from, as find_run() has it, of whatever number of ranks.
bool resumes(const Config& config, const TrainerOptions& options, dist::RankGroup* group = nullptr);

}  // namespace gsnake::train
