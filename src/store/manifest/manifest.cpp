#include "store/manifest/manifest.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <regex>
#include <vector>

#include "core/errors.h"

namespace gsnake::store {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "greedysnake-manifest";
constexpr int kVersion = 2;
constexpr const char* kTemporary = ".tmp";
constexpr const char* kChecksumKey = "xxh3_64";
constexpr const char* kTornRemedy = "restore it from a copy in another SSD path or in the run directory, or start over with --overwrite";

std::string file_in(const std::string& directory, const std::string& name) { return directory + "/" + name; }

// Over the compact text with sorted keys, which depends on the values alone, not on the file's spaces. Numbers survive being printed and
// parsed: the printer gives the shortest digits that read back as the same double.
std::string hash_of(const json& body) {
  const std::string text = body.dump();
  return fmt::format("{:016x}", static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size())));
}

std::string serialize(const std::string& path, const Manifest& manifest) {
  try {
    json body{{"format", kFormat},           {"version", kVersion},
              {"run_id", manifest.run_id},   {"generation", manifest.generation},
              {"storage", manifest.storage}, {"training", manifest.training}};
    body[kChecksumKey] = hash_of(body);
    return body.dump(1) + '\n';
  } catch (const json::exception& error) {
    core::throw_storage("write", path, error.what(), "use paths and names that are UTF-8");
  }
}

Manifest parse(const std::string& path, const std::string& text) {
  json body = json::parse(text, nullptr, false);
  if (!body.is_object() || body.value(kChecksumKey, json()).is_string() == false) {
    core::throw_storage("read", path, "it is torn or not a manifest", kTornRemedy);
  }
  const std::string stated = body[kChecksumKey].get<std::string>();
  body.erase(kChecksumKey);
  if (hash_of(body) != stated) core::throw_storage("read", path, "it is torn: its checksum does not match", kTornRemedy);
  if (body.value("format", json()) != kFormat) core::throw_storage("read", path, "it is not a manifest of greedysnake", kTornRemedy);
  if (const json version = body.value("version", json()); version != kVersion) {
    core::throw_storage("read", path, fmt::format("it is of version {}, and this build reads version {}", version.dump(), kVersion),
                        "use the version of greedysnake that wrote it");
  }
  try {
    return {body.at("run_id").get<std::string>(), body.at("generation").get<std::uint64_t>(), body.at("storage"), body.at("training")};
  } catch (const json::exception& error) {
    core::throw_storage("read", path, error.what(), kTornRemedy);
  }
}

// What of the folder's files is named by `is_one`.
std::vector<std::string> names_in(const std::string& directory, bool (*is_one)(const std::string&)) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(directory, error); !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    if (std::string name = entry->path().filename().string(); is_one(name)) names.push_back(std::move(name));
  }
  if (error) core::throw_storage("list", directory, error, "check its permissions");
  return names;
}

bool names_manifest(const std::string& name) {
  static const std::regex pattern(R"((manifest(\.previous)?|snapshot-[0-9]+)\.json(\.tmp)?)");
  return std::regex_match(name, pattern);
}

bool names_table(const std::string& name) {
  static const std::regex pattern(R"(checksums-(a|b|snapshot-[0-9]+)\.bin)");
  return std::regex_match(name, pattern);
}

// False where the file system has no hard links.
bool try_link(io::SyncOps& sync, const std::string& from, const std::string& to) {
  if (sync.link(from.c_str(), to.c_str()) == 0) return true;
  if (errno == EEXIST) {  // a kill left it
    remove_file(sync, to);
    if (sync.link(from.c_str(), to.c_str()) == 0) return true;
  }
  if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK) return false;
  core::throw_storage("link", from, core::errno_code(), "look at the drive");
}

bool is_there(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

void rename_file(io::SyncOps& sync, const std::string& from, const std::string& to) {
  if (sync.rename(from.c_str(), to.c_str()) != 0) core::throw_storage("rename", from, core::errno_code(), "look at the drive");
}

}  // namespace

bool names_commit_file(const std::string& name) { return names_manifest(name) || names_table(name); }

std::string snapshot_name(int place) { return fmt::format("snapshot-{}.json", place); }

int slot_of(const Manifest& manifest) {
  const nlohmann::json slot = manifest.storage.is_object() ? manifest.storage.value("slot", nlohmann::json()) : nlohmann::json();
  if (!slot.is_number_unsigned() || slot > 1000000) {
    core::throw_storage("use", "the manifest of run " + manifest.run_id, "it names no slot",
                        "use the version of greedysnake that wrote it");
  }
  return slot.get<int>();
}

std::optional<std::size_t> path_index_of(const Manifest& manifest) {
  const nlohmann::json index = manifest.storage.value("path_index", nlohmann::json());
  return index.is_number_unsigned() ? std::optional(index.get<std::size_t>()) : std::nullopt;
}

void stage_manifest(io::SyncOps& sync, const std::string& directory, const std::string& name, const Manifest& manifest) {
  const std::string path = file_in(directory, name);
  const std::string temporary = path + kTemporary;
  try {
    const std::string text = serialize(path, manifest);
    write_file(sync, temporary, std::as_bytes(std::span(text)));
  } catch (...) {
    static_cast<void>(sync.unlink(temporary.c_str()));
    throw;
  }
}

// By a link, which costs no write and leaves the manifest in place at every instant.
void keep_previous_manifest(io::SyncOps& sync, const std::string& directory) {
  const std::string path = file_in(directory, kManifestName);
  const std::string previous = file_in(directory, kPreviousName);
  if (!is_there(path)) return;
  if (!try_link(sync, path, previous + kTemporary)) {
    const std::string text = io::read_whole_file(path).value_or("");
    write_file(sync, previous + kTemporary, std::as_bytes(std::span(text)));
  }
  rename_file(sync, previous + kTemporary, previous);
}

void publish_manifest(io::SyncOps& sync, const std::string& directory, const std::string& name) {
  const std::string path = file_in(directory, name);
  rename_file(sync, path + kTemporary, path);
  sync_directory(sync, directory);
}

std::optional<Manifest> read_manifest(const std::string& directory, const std::string& name) {
  const std::string path = file_in(directory, name);
  const std::optional<std::string> text = io::read_whole_file(path);
  if (!text) return std::nullopt;
  return parse(path, *text);
}

bool holds_manifest(const std::string& directory) {
  return is_there(file_in(directory, kManifestName)) || is_there(file_in(directory, kPreviousName));
}

bool holds_staged_manifest(const std::string& directory) { return is_there(file_in(directory, kStagedName)); }

void remove_manifests(io::SyncOps& sync, const std::string& directory) {
  for (bool (*is_one)(const std::string&) : {names_manifest, names_table}) {
    for (const std::string& name : names_in(directory, is_one)) remove_file(sync, file_in(directory, name));
    sync_directory(sync, directory);
  }
}

}  // namespace gsnake::store
