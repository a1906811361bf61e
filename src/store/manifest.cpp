#include "store/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cstdio>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/directories.h"

namespace gsnake::store {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "greedysnake-manifest";
constexpr int kVersion = 1;
constexpr const char* kChecksumKey = "xxh3_64";
constexpr const char* kTornRemedy = "restore it from a copy in another SSD path or in the run directory, or start over with --overwrite";

std::string manifest_path(const std::string& directory) { return directory + "/" + kManifestName; }
std::string temporary_path(const std::string& directory) { return manifest_path(directory) + ".tmp"; }

// Over the compact text with sorted keys, which depends on the values alone, not on the file's spaces. Numbers survive being printed and
// parsed: the printer gives the shortest digits that read back as the same double.
std::string checksum_of(const json& body) {
  const std::string text = body.dump();
  return fmt::format("{:016x}", static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size())));
}

std::string serialize(const std::string& path, const Manifest& manifest) {
  try {
    json body{{"format", kFormat},           {"version", kVersion},
              {"run_id", manifest.run_id},   {"generation", manifest.generation},
              {"storage", manifest.storage}, {"training", manifest.training}};
    body[kChecksumKey] = checksum_of(body);
    return body.dump(1) + '\n';
  } catch (const json::exception& error) {
    core::throw_storage("write", path, error.what(), "use paths and names that are UTF-8");
  }
}

void write_all(int fd, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) core::throw_storage("write", path, core::errno_code(), "free some space there or look at the drive");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void write_synced(const std::string& path, std::string_view text) {
  const core::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) core::throw_storage("create", path, core::errno_code(), "check that its folder still exists and is writable");
  write_all(fd.get(), path, text);
  if (::fsync(fd.get()) != 0) core::throw_storage("sync", path, core::errno_code(), "look at the drive");
}

// Nothing where there is no such file.
std::optional<std::string> read_all(const std::string& path) {
  const core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) core::throw_storage("open", path, core::errno_code(), "check its permissions");
  std::string text;
  std::array<char, 65536> block{};
  for (;;) {
    const ssize_t count = ::read(fd.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) core::throw_storage("read", path, core::errno_code(), "look at the drive");
    if (count == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(count));
  }
}

Manifest parse(const std::string& path, const std::string& text) {
  json body = json::parse(text, nullptr, false);
  if (!body.is_object() || body.value(kChecksumKey, json()).is_string() == false) {
    core::throw_storage("read", path, "it is torn or not a manifest", kTornRemedy);
  }
  const std::string stated = body[kChecksumKey].get<std::string>();
  body.erase(kChecksumKey);
  if (checksum_of(body) != stated) core::throw_storage("read", path, "it is torn: its checksum does not match", kTornRemedy);
  if (body.value("format", json()) != kFormat || body.value("version", json()) != kVersion) {
    core::throw_storage("read", path, "it is not a manifest of this version of greedysnake", "use the version that wrote it");
  }
  try {
    return {body.at("run_id").get<std::string>(), body.at("generation").get<std::uint64_t>(), body.at("storage"), body.at("training")};
  } catch (const json::exception& error) {
    core::throw_storage("read", path, error.what(), kTornRemedy);
  }
}

}  // namespace

void write_manifest(const std::string& directory, const Manifest& manifest) {
  const std::string path = manifest_path(directory);
  const std::string temporary = temporary_path(directory);
  try {
    write_synced(temporary, serialize(path, manifest));
    if (::rename(temporary.c_str(), path.c_str()) != 0) core::throw_storage("rename", temporary, core::errno_code(), "look at the drive");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  io::fsync_directory(directory);
}

std::optional<Manifest> read_manifest(const std::string& directory) {
  const std::string path = manifest_path(directory);
  const std::optional<std::string> text = read_all(path);
  if (!text) return std::nullopt;
  return parse(path, *text);
}

bool holds_manifest(const std::string& directory) {
  struct stat status {};
  return ::lstat(manifest_path(directory).c_str(), &status) == 0;
}

void remove_manifest(const std::string& directory) {
  for (const std::string& path : {manifest_path(directory), temporary_path(directory)}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      core::throw_storage("remove", path, core::errno_code(), "check its folder's permissions");
  }
  io::fsync_directory(directory);
}

}  // namespace gsnake::store
