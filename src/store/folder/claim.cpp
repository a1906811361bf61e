#include "store/folder/claim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/interrupted.h"
#include "store/folder/lock.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {
namespace {

constexpr std::string_view kText =
    "greedysnake-run\n"
    "The files gsnake-*, manifest*.json*, snapshot-*.json* and checksums-*.bin in this folder are a run's: greedysnake replaces and removes them.\n";
constexpr std::string_view kAlso = "also ";
// How the text of every manifest begins.
constexpr std::string_view kManifestSign = "{\n \"format\": \"greedysnake-manifest\"";

std::string path_in(const std::string& directory, std::string_view name) { return directory + "/" + std::string(name); }

// Of a regular file, no link; nothing where there is none.
std::optional<std::string> first_bytes(const std::string& path, std::size_t most) {
  const core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO)) return std::nullopt;
  if (!fd) core::throw_storage("open", path, core::errno_code(), "check its permissions");
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) core::throw_storage("look at", path, core::errno_code(), "look at the drive");
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  std::string text(most, '\0');
  const ssize_t count = io::retry_interrupted([&] { return ::pread(fd.get(), text.data(), most, 0); });
  if (count < 0) core::throw_storage("read", path, core::errno_code(), "look at the drive");
  text.resize(static_cast<std::size_t>(count));
  return text;
}

bool is_manifest_of_ours(const std::string& path) {
  const std::optional<std::string> text = first_bytes(path, kManifestSign.size());
  return text && *text == kManifestSign;
}

// A staged one is durable before any folder has the manifest of a first commit: a kill between folders leaves it alone.
bool holds_manifest_of_ours(const std::string& directory) {
  return is_manifest_of_ours(path_in(directory, kManifestName)) || is_manifest_of_ours(path_in(directory, kPreviousName)) ||
         is_manifest_of_ours(path_in(directory, kStagedName));
}

// What `read` makes of the `storage` of the folder's newest manifest that is whole; nothing where there is none.
template <typename Read>
auto told_by_manifest(const std::string& directory, const Read& read) -> std::optional<decltype(read(nlohmann::json()))> {
  for (const char* name : {kManifestName, kPreviousName}) {
    try {
      if (const std::optional<Manifest> manifest = read_manifest(directory, name)) return read(manifest->storage);
    } catch (const std::exception&) {
      continue;  // torn
    }
  }
  return std::nullopt;
}

// State of which the run has bytes, scratch, and in its first folder the pin.
std::vector<std::string> earlier_files_of(const nlohmann::json& storage) {
  if (names_from(storage).prefix != kEarlierNames.prefix || !storage.contains("path_index")) return {};
  const auto has_bytes = [&](Kind kind) {
    const nlohmann::json& kinds = storage.at("kinds");
    if (!kinds.contains(name_of(kind))) return false;
    const auto bytes = kinds.at(name_of(kind)).at("padded_bytes").get<std::vector<std::uint64_t>>();
    return std::any_of(bytes.begin(), bytes.end(), [](std::uint64_t object) { return object > 0; });
  };
  std::vector<std::string> names;
  if (storage["path_index"] == 0) names.push_back(kEarlierNames.pin());
  for (std::size_t kind = 0; kind < kKindCount; ++kind) {
    if (core::is_scratch(kind_at(kind)) || has_bytes(kind_at(kind))) names.push_back(kEarlierNames.of(kind_at(kind)));
  }
  return names;
}

bool is_state_file(const std::string& name) {
  const FileNames names;
  if (name == names.pin()) return true;
  for (std::size_t kind = 0; kind < kKindCount; ++kind) {
    if (kind_at(kind) != Kind::base && name == names.of(kind_at(kind))) return true;
  }
  return false;
}

bool is_one_of(std::span<const std::string> names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

[[noreturn]] void refuse(const std::string& path, const char* why) {
  core::throw_storage("use", path, why, "move it out of the way, or name another folder");
}

void check_one(const std::filesystem::path& path, bool folder_is_ours, bool may_be_folder) {
  const std::filesystem::file_status status = std::filesystem::symlink_status(path);
  const bool right_kind = std::filesystem::is_regular_file(status) || (may_be_folder && std::filesystem::is_directory(status));
  if (!right_kind) refuse(path.string(), "it has the name of a file of greedysnake's and is something else");
  if (!folder_is_ours) refuse(path.string(), "it is not greedysnake's, whose runs would replace it");
}

}  // namespace

std::optional<Claim> read_claim(const std::string& directory) {
  const std::optional<std::string> text = first_bytes(path_in(directory, kClaimName), std::size_t{64} << 10);
  // Nothing else was made before a claim was whole: a torn one is an empty folder's.
  if (!text || (!text->starts_with(kText) && !kText.starts_with(*text) && !io::is_blank(*text))) return std::nullopt;
  Claim claim;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line) && !lines.eof();) {
    if (line.starts_with(kAlso) && line.find('/') == std::string::npos) claim.also.push_back(line.substr(kAlso.size()));
  }
  return claim;
}

void write_claim(io::SyncOps& sync, const std::string& directory, const Claim& claim) {
  std::string text(kText);
  for (const std::string& name : claim.also) text += std::string(kAlso) + name + "\n";
  if (io::overwrite_file(sync, path_in(directory, kClaimName), std::as_bytes(std::span(text)))) io::sync_directory(sync, directory);
}

void refuse_others(const std::string& directory, std::span<const std::string> also) {
  const bool claimed = read_claim(directory).has_value();
  const bool ours = claimed || holds_manifest_of_ours(directory);
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(directory, error); !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == kClaimName) {
      check_one(entry->path(), claimed, false);
    } else if (is_state_file(name) || names_commit_file(name)) {
      check_one(entry->path(), ours, false);
    } else if (is_one_of(also, name)) {
      check_one(entry->path(), ours, true);
    }
  }
  if (error) core::throw_storage("list", directory, error, "check its permissions");
}

std::vector<std::string> earlier_files_in(const std::string& directory) {
  return told_by_manifest(directory, earlier_files_of).value_or(std::vector<std::string>());
}

FileNames names_used_in(const std::string& directory) {
  if (const std::optional<FileNames> names = told_by_manifest(directory, names_from)) return *names;
  return read_claim(directory) ? FileNames() : kEarlierNames;
}

}  // namespace gsnake::store
