#include "store/manifest/copies.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/errors.h"
#include "core/log.h"
#include "store/manifest/checksum_table.h"

namespace gsnake::store {

std::vector<Checksum> checksums_of(const std::string& directory, const Manifest& manifest) {
  const std::optional<TableReference> table = table_of(manifest);
  return table ? read_table(directory, *table) : std::vector<Checksum>{};
}

namespace {

// What is torn was never prepared to the end.
void read_staged(Copy& copy) {
  copy.staged_there = holds_staged_manifest(copy.directory);
  if (!copy.staged_there) return;
  try {
    copy.staged = read_manifest(copy.directory, kStagedName);
    if (copy.staged && checksums_of(copy.directory, *copy.staged).empty()) copy.staged.reset();
  } catch (const Error& error) {
    copy.staged.reset();
    spdlog::debug("{}", error.what());
  }
}

Copy read_copy(const std::string& directory) {
  Copy copy;
  copy.directory = directory;
  try {
    copy.manifest = read_manifest(directory);
    if (copy.manifest) copy.checksums = checksums_of(directory, *copy.manifest);
  } catch (const Error& error) {
    copy.fault = error.what();
  }
  try {
    copy.previous = read_manifest(directory, kPreviousName);
  } catch (const Error& error) {
    // Only of interest where nothing else is left; then it counts as absent.
    spdlog::debug("{}", error.what());
  }
  read_staged(copy);
  return copy;
}

}  // namespace

void refuse_foreign(const std::vector<Copy>& copies) {
  const Copy* first = nullptr;
  for (const Copy& copy : copies) {
    const Manifest* manifest = copy.any();
    if (manifest == nullptr) continue;
    if (first == nullptr) first = &copy;
    if (manifest->run_id == first->any()->run_id) continue;
    core::throw_storage("use", copy.directory,
                        fmt::format("it belongs to run {}, {} to run {}", manifest->run_id, first->directory, first->any()->run_id),
                        "name the folders of one run in run.dir and ssd.paths");
  }
}

std::uint64_t newest_seen(const std::vector<Copy>& copies) {
  std::uint64_t newest = 0;
  for (const Copy& copy : copies) {
    if (copy.manifest) newest = std::max(newest, copy.manifest->generation);
    if (copy.previous) newest = std::max(newest, copy.previous->generation);
  }
  return newest;
}

namespace {

std::vector<std::string> faults_of(const std::vector<Copy>& copies) {
  std::vector<std::string> faults;
  for (const Copy& copy : copies) {
    if (!copy.fault.empty()) faults.push_back(copy.fault);
  }
  return faults;
}

const Copy* newest_valid(const std::vector<Copy>& copies) {
  const Copy* newest = nullptr;
  for (const Copy& copy : copies) {
    if (copy.valid() && (newest == nullptr || copy.manifest->generation > newest->manifest->generation)) newest = &copy;
  }
  return newest;
}

// The newest previous commit that has a whole table.
std::optional<Choice> choose_previous(const std::vector<Copy>& copies) {
  std::optional<Choice> choice;
  for (const Copy& copy : copies) {
    if (!copy.previous || (choice && choice->manifest.generation >= copy.previous->generation)) continue;
    try {
      std::vector<Checksum> checksums = checksums_of(copy.directory, *copy.previous);
      if (!checksums.empty()) choice = Choice{*copy.previous, std::move(checksums), 0, false, {}};
    } catch (const Error& error) {
      spdlog::warn("{}", error.what());
    }
  }
  return choice;
}

[[noreturn]] void throw_nothing_to_open(const std::vector<std::string>& faults, const std::string& run_dir) {
  if (faults.empty()) {
    core::throw_storage("open the run in", run_dir, fmt::format("there is no {} in it or in its SSD paths", kManifestName),
                        "start it with gsnake train");
  }
  throw Error(ErrorKind::storage,
              fmt::format("no valid manifest is left, nor a commit before it that could be verified: {}", fmt::join(faults, "; ")));
}

}  // namespace

std::vector<Copy> read_copies(const std::vector<std::string>& directories) {
  std::vector<Copy> copies;
  for (const std::string& directory : directories) copies.push_back(read_copy(directory));
  return copies;
}

Choice choose(const std::vector<Copy>& copies, const std::string& run_dir) {
  refuse_foreign(copies);
  const std::vector<std::string> faults = faults_of(copies);
  const Copy* newest = newest_valid(copies);
  std::optional<Choice> choice = newest != nullptr ? Choice{*newest->manifest, newest->checksums, 0, false, {}} : choose_previous(copies);
  if (!choice) throw_nothing_to_open(faults, run_dir);
  choice->newest_seen = newest_seen(copies);
  // A copy of a later commit says that the slot of this one was free to be overwritten.
  choice->must_verify = newest == nullptr || choice->newest_seen > choice->manifest.generation;
  choice->faults = faults.empty() ? fmt::format("there is no {}", kManifestName) : fmt::format("{}", fmt::join(faults, "; "));
  const std::uint64_t generation = choice->manifest.generation;
  if (choice->must_verify) {
    spdlog::warn("{} (used instead, if all its checksums verify: commit {}, the one before)", choice->faults, generation);
  } else {
    for (const std::string& fault : faults) spdlog::warn("{} (used instead: commit {} in {})", fault, generation, newest->directory);
  }
  return *std::move(choice);
}

}  // namespace gsnake::store
