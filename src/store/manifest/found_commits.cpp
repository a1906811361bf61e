// Which commits a run's folders tell of, and the choice of one of them by its generation.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/errors.h"
#include "core/log.h"
#include "store/manifest/copies.h"

namespace gsnake::store {
namespace {

using Standing = FoundCommit::Standing;

struct Found {
  const std::string* directory = nullptr;
  const Manifest* manifest = nullptr;
  Standing standing = Standing::published;
};
using FoundMap = std::map<std::uint64_t, Found>;  // by generation

bool has_whole_table(const std::string& directory, const Manifest& manifest) {
  try {
    return !checksums_of(directory, manifest).empty();
  } catch (const Error& error) {
    spdlog::debug("{}", error.what());
    return false;
  }
}

// The folders need not agree: what counts in one of them counts.
void add(FoundMap& all, const Copy& copy, const Manifest& manifest, Standing standing) {
  const Found found{&copy.directory, &manifest, standing};
  const auto [at, is_new] = all.emplace(manifest.generation, found);
  if (!is_new && standing < at->second.standing) at->second = found;
}

FoundMap find_all(const std::vector<Copy>& copies) {
  refuse_foreign(copies);
  FoundMap all;
  for (const Copy& copy : copies) {
    if (copy.valid()) add(all, copy, *copy.manifest, Standing::published);
    if (copy.staged) add(all, copy, *copy.staged, Standing::prepared);
    if (copy.previous && has_whole_table(copy.directory, *copy.previous)) add(all, copy, *copy.previous, Standing::replaced);
  }
  return all;
}

}  // namespace

std::vector<FoundCommit> commits_in(const std::vector<Copy>& copies) {
  std::vector<FoundCommit> commits;
  for (const auto& [generation, found] : find_all(copies)) commits.push_back({generation, found.standing, found.manifest->run_id, found.manifest->storage, found.manifest->training});
  return {commits.rbegin(), commits.rend()};
}

std::optional<std::int64_t> step_of(const nlohmann::json& training) {
  const nlohmann::json step = training.is_object() ? training.value("step", nlohmann::json()) : nlohmann::json();
  return step.is_number_integer() ? std::optional(step.get<std::int64_t>()) : std::nullopt;
}

namespace {

// Of those that any, or that no rank tells of as replaced.
std::optional<CommonCommit> newest_common(std::span<const std::vector<FoundCommit>> ranks, bool replaced_too) {
  const auto counts = [&](const FoundCommit& commit) { return replaced_too || commit.standing != Standing::replaced; };
  for (const FoundCommit& newest : ranks.front()) {
    if (!counts(newest)) continue;
    const std::optional<std::int64_t> step = step_of(newest.training);
    if (!step) continue;
    CommonCommit common{*step, {}};
    for (const std::vector<FoundCommit>& told : ranks) {
      // A run that went back may tell of a step twice: ranks count their commits alike.
      const auto is_it = [&](const FoundCommit& commit) { return counts(commit) && step_of(commit.training) == step; };
      auto found = std::find_if(told.begin(), told.end(), [&](const FoundCommit& commit) { return is_it(commit) && commit.generation == newest.generation; });
      if (found == told.end()) found = std::find_if(told.begin(), told.end(), is_it);
      if (found == told.end()) break;
      common.generations.push_back(found->generation);
    }
    if (common.generations.size() == ranks.size()) return common;
  }
  return std::nullopt;
}

}  // namespace

// What was replaced may be overwritten in part: only where nothing else is left.
std::optional<CommonCommit> newest_common(std::span<const std::vector<FoundCommit>> ranks) {
  if (ranks.empty()) return std::nullopt;
  std::optional<CommonCommit> whole = newest_common(ranks, false);
  return whole ? whole : newest_common(ranks, true);
}

std::string nothing_in_common(std::span<const std::vector<FoundCommit>> ranks) {
  std::vector<std::string> told;
  for (const std::vector<FoundCommit>& commits : ranks) {
    std::vector<std::int64_t> steps;
    for (const FoundCommit& commit : commits) steps.push_back(step_of(commit.training).value_or(-1));
    told.push_back(steps.empty() ? fmt::format("rank {} holds none", told.size()) : fmt::format("rank {} of steps {}", told.size(), fmt::join(steps, ", ")));
  }
  return fmt::format("its ranks hold no commit of one step: {}", fmt::join(told, ", "));
}

bool same_commit(const Manifest& a, const Manifest& b) {
  const auto table = [](const Manifest& manifest) { return manifest.storage.value("checksums", nlohmann::json()); };
  return a.run_id == b.run_id && a.generation == b.generation && table(a) == table(b);
}

Choice choose(const std::vector<Copy>& copies, const std::string& run_dir, std::uint64_t generation) {
  const FoundMap all = find_all(copies);
  const auto found = all.find(generation);
  if (found == all.end()) {
    std::vector<std::uint64_t> others;
    for (const auto& [other, unused] : all) others.push_back(other);
    core::throw_storage("open the run in", run_dir, fmt::format("of its commits {} none is commit {}", fmt::join(others, ", "), generation),
                        "restore the folders that held it");
  }
  const Found& one = found->second;
  // Of any other, the slot may have been overwritten, or nobody has asked yet whether its bytes are right.
  const bool stands = one.standing == Standing::published && newest_seen(copies) == generation;
  return {*one.manifest, checksums_of(*one.directory, *one.manifest), generation, !stands, fmt::format("commit {} was asked for", generation)};
}

}  // namespace gsnake::store
