// What a trainer says to, and hears of, the other ranks of its run: on the thread that drives it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dist/rank_group.h"
#include "greedysnake/results.h"

namespace gsnake::train {

// Everybody's `own`, all as many, by rank. Of a group that is null, or of one: what it was given. Throws what RankGroup's agreements do.
std::vector<double> shared(dist::RankGroup* group, std::span<const double> own);
// Everybody's text, by rank.
std::vector<std::string> shared_texts(dist::RankGroup* group, const std::string& own);
// Returns once all ranks have come here.
void meet(dist::RankGroup* group);
// Whether any rank says so.
[[nodiscard]] bool any_says(dist::RankGroup* group, bool own);

// Thrown by every rank at the same step, as what they agreed on says so.
class NonFiniteEverywhere : public NonFiniteError {
 public:
  using NonFiniteError::NonFiniteError;
};

// Calls `work`; what it throws is told to the other ranks, whom it would leave waiting, and thrown on.
template <typename Work>
auto telling_of_failure(dist::RankGroup* group, Work&& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    const bool all_throw_it = dynamic_cast<const NonFiniteEverywhere*>(&error) != nullptr;
    if (group != nullptr && !all_throw_it) group->fail(error.what());
    throw;
  }
}

}  // namespace gsnake::train
