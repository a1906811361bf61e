#include "io/directories.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <limits>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/interrupted.h"

namespace gsnake::io {
namespace {

using core::errno_code;
using core::throw_storage;

constexpr const char* kChooseAnother = "choose another folder or change its permissions";

// Whether `path` is a folder; throws where it is something else or can't be looked at.
bool is_directory(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const std::error_code code = errno_code();
    if (code == std::errc::no_such_file_or_directory) return false;
    throw_storage("make the folder", path, code, kChooseAnother);
  }
  if (!S_ISDIR(status.st_mode))
    throw_storage("make the folder", path, errno_code(ENOTDIR), "remove the file of that name or choose another folder");
  return true;
}

// The folders that are missing on the way to `path`, outermost first.
std::vector<std::string> missing_directories(const std::string& path) {
  std::vector<std::string> missing;
  std::filesystem::path current = std::filesystem::path(path).lexically_normal();
  if (!current.has_filename()) current = current.parent_path();  // a slash at the end
  while (!current.empty() && !is_directory(current.string())) {
    missing.push_back(current.string());
    current = current.parent_path();
  }
  std::reverse(missing.begin(), missing.end());
  return missing;
}

}  // namespace

std::vector<std::string> make_directories(const std::string& path) {
  if (path.empty()) throw_storage("make the folder", "''", "the path is empty", "name a folder");
  std::vector<std::string> made;
  for (const std::string& directory : missing_directories(path)) {
    if (::mkdir(directory.c_str(), 0777) == 0) {
      made.push_back(directory);
      continue;
    }
    const std::error_code code = errno_code();
    // Another process may have made it since we looked: then it is not ours to remove.
    if (code == std::errc::file_exists && is_directory(directory)) continue;
    remove_directories(made);
    throw_storage("make the folder", directory, code, kChooseAnother);
  }
  return made;
}

void remove_directories(std::span<const std::string> made) noexcept {
  for (auto directory = made.rbegin(); directory != made.rend(); ++directory) {
    if (::rmdir(directory->c_str()) != 0) return;
  }
}

std::uint64_t free_bytes(const std::string& path) {
  struct statvfs status {};
  if (retry_interrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
    throw_storage("ask for the free space of", path, errno_code(), "check that the path exists");
  }
  if (status.f_blocks == 0) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

void require_writable_directory(const std::string& path) {
  const std::string probe = temporary_path(path);
  const core::UniqueFd fd(::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) throw_storage("write to the folder", path, errno_code(), kChooseAnother);
  if (::unlink(probe.c_str()) != 0) throw_storage("remove a file from the folder", path, errno_code(), kChooseAnother);
}

std::string temporary_path(const std::string& directory) {
  static std::atomic<unsigned> counter{0};
  return fmt::format("{}/.gsnake-{}-{}", directory, ::getpid(), counter.fetch_add(1, std::memory_order_relaxed));
}

File make_nameless_file(const std::string& directory, std::uint64_t size_bytes, DirectIo direct) {
  constexpr int kAttempts = 100;  // a killed process may have left files of such names
  for (int attempt = 1;; ++attempt) {
    const std::string path = temporary_path(directory);
    try {
      File file = File::create(path, size_bytes, direct);
      if (::unlink(path.c_str()) != 0) throw_storage("remove", path, errno_code(), "remove it by hand");
      return file;
    } catch (const Error& error) {
      if (error.code() != std::errc::file_exists || attempt == kAttempts) throw;
    }
  }
}

}  // namespace gsnake::io
