// Which commits a run's folders tell of, and the choice of one of them by its generation.
#include <fmt/format.h>
#include <fmt/ranges.h>

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
  for (const auto& [generation, found] : find_all(copies)) commits.push_back({generation, found.standing, found.manifest->training});
  return {commits.rbegin(), commits.rend()};
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
