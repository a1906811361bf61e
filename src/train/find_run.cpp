#include "train/find_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "store/folder/paths.h"
#include "store/manifest/manifest.h"
#include "train/group.h"

namespace gsnake::train {
namespace {

using checkpoint::RunFound;

// What a rank tells of the commits that its own share holds, newest first.
class Told {
 public:
  static constexpr std::size_t kCommits = 6;  // more than can stand in one share
  static constexpr std::size_t kSize = 3 * kCommits;

  static std::vector<double> of(const RunFound* found, int rank) {
    std::vector<double> told(kSize, -1.0);
    if (found == nullptr || static_cast<std::size_t>(rank) >= found->shares.size()) return told;
    std::size_t next = 0;
    for (const store::FoundCommit& commit : found->shares[static_cast<std::size_t>(rank)].commits) {
      const std::optional<std::int64_t> step = store::step_of(commit.training);
      if (!step || next + 2 >= kSize) continue;
      told[next++] = static_cast<double>(*step);
      told[next++] = static_cast<double>(commit.generation);
      told[next++] = static_cast<double>(commit.standing);
    }
    return told;
  }

  static std::vector<store::FoundCommit> commits(std::span<const double> told) {
    std::vector<store::FoundCommit> commits;
    for (std::size_t i = 0; i < kSize && told[i] >= 0.0; i += 3) {
      commits.push_back({.generation = static_cast<std::uint64_t>(told[i + 1]), .standing = static_cast<store::FoundCommit::Standing>(static_cast<int>(told[i + 2])), .run_id = {}, .storage = {}, .training = {{"step", static_cast<std::int64_t>(told[i])}}});
    }
    return commits;
  }
};

RunFound* of_ranks(std::vector<RunFound>& found, int ranks) {
  const auto own = std::find_if(found.begin(), found.end(), [&](const RunFound& one) { return one.ranks == ranks; });
  return own == found.end() ? nullptr : &*own;
}

// On several machines a rank sees its own share alone: what they hold in common, they tell one another.
void agree_on_shares(std::vector<RunFound>& found, const Config& config, dist::RankGroup& group) {
  RunFound* own = of_ranks(found, config.ranks.count);
  const std::vector<double> all = shared(&group, Told::of(own, config.ranks.rank));
  std::vector<std::vector<store::FoundCommit>> commits;
  for (std::size_t rank = 0; rank < all.size() / Told::kSize; ++rank) commits.push_back(Told::commits(std::span(all).subspan(rank * Told::kSize, Told::kSize)));
  std::optional<store::CommonCommit> common = store::newest_common(commits);
  if (own == nullptr || !common) return;
  own->last = std::move(common);
  own->fault.clear();
}

void refuse_where_ranks_differ(const RunFound* chosen, dist::RankGroup* group) {
  const double own[] = {chosen == nullptr ? 0.0 : static_cast<double>(chosen->ranks), chosen == nullptr ? -1.0 : static_cast<double>(chosen->last->step)};
  const std::vector<double> all = shared(group, own);
  for (std::size_t i = 0; i < all.size(); i += 2) {
    if (all[i] == own[0] && all[i + 1] == own[1]) continue;
    const auto describe = [](double ranks, double step) { return ranks == 0.0 ? std::string("none") : fmt::format("that of {:.0f} ranks at step {:.0f}", ranks, step); };
    throw Error(ErrorKind::storage, fmt::format("ranks see different runs in their folders: this one {}, rank {} {}; let all see the same folders, or clear those that no longer count",
                                                describe(own[0], own[1]), i / 2, describe(all[i], all[i + 1])));
  }
}

// run.dir itself is the run's, whatever its number of ranks is; a manifest in it is of one rank.
std::vector<std::string> left_by_others(const std::vector<RunFound>& found, const Config& config, const RunFound* chosen) {
  std::vector<std::string> folders = checkpoint::folders_of_other_runs(found, config.ranks.count, chosen);
  std::erase_if(folders, [&](const std::string& folder) { return config.ranks.count > 1 && store::same_folder(folder, config.run.dir) && !store::holds_manifest(folder); });
  return folders;
}

}  // namespace

bool resumes(const Config& config, const TrainerOptions& options, dist::RankGroup* group) {
  const bool exists = any_says(group, checkpoint::holds_run(config.run.dir, config.ssd.paths, options.resume == Resume::must));
  if (options.resume == Resume::must && !exists) {
    throw Error(ErrorKind::usage, "cannot resume: " + config.run.dir + " holds no commit; check run.dir, or leave out --resume must");
  }
  if (options.from_step && (!exists || options.resume == Resume::never)) {
    throw Error(ErrorKind::usage, "cannot go back to step " + std::to_string(*options.from_step) + ": " + config.run.dir +
                                      " holds no commit to resume; check run.dir, and leave out --resume never");
  }
  return exists && options.resume != Resume::never;
}

RunToOpen find_run(const Config& config, const TrainerOptions& options, dist::RankGroup* group) {
  const bool goes_on = resumes(config, options, group);
  RunToOpen run;
  std::vector<RunFound> found = checkpoint::find_runs(config.run.dir, config.ssd.paths);
  const bool is_plain = config.ranks.count == 1 && std::all_of(found.begin(), found.end(), [](const RunFound& one) { return one.ranks == 1; });
  if (is_plain) return {.goes_on = goes_on};  // whatever it holds, the store says what is wrong with it
  if (!goes_on) {
    if (!options.overwrite) checkpoint::refuse_other_runs(found, config.run.dir, config.ranks.count);
    run.left = left_by_others(found, config, nullptr);
    return run;
  }
  if (options.resume != Resume::must) std::erase_if(found, [&](const RunFound& one) { return one.counted && one.elsewhere; });
  if (group != nullptr) agree_on_shares(found, config, *group);
  const RunFound* chosen = checkpoint::choose_run(found, config.ranks.count);
  refuse_where_ranks_differ(chosen, group);
  run.left = left_by_others(found, config, chosen);
  if (chosen == nullptr) return run;
  run.goes_on = true;
  if (chosen->ranks != config.ranks.count) {
    run.of_others = *chosen;
  } else if (config.ranks.count > 1) {
    run.generation = chosen->last->generations[static_cast<std::size_t>(config.ranks.rank)];
  }
  return run;
}

}  // namespace gsnake::train
