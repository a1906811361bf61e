#include "store/folder/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "core/errors.h"
#include "greedysnake/error.h"
#include "io/interrupted.h"

namespace gsnake::store {
namespace {

constexpr int kMostAttempts = 1000;  // each lost to another process that came and went

std::string lock_path(const std::string& directory) { return directory + "/" + kLockName; }

[[noreturn]] void fail(const char* operation, const std::string& path, int error) {
  core::throw_storage(operation, path, core::errno_code(error), "choose a folder that this user can write to");
}

// The first line: a longer one of an earlier owner may still stand behind it. Empty while the owner has locked but not yet written.
std::string read_first_line(int fd) {
  std::array<char, 256> text{};
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  if (count <= 0) return {};
  const std::string whole(text.data(), static_cast<std::size_t>(count));
  const std::size_t end = whole.find('\n');
  return end == std::string::npos ? std::string() : whole.substr(0, end);
}

[[noreturn]] void refuse(int fd, const std::string& directory) {
  std::string line = read_first_line(fd);
  for (int attempt = 0; line.empty() && attempt < 20; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    line = read_first_line(fd);
  }
  const std::size_t space = line.find(' ');
  const std::string owner =
      space == std::string::npos ? "another process" : fmt::format("process {} (run {})", line.substr(0, space), line.substr(space + 1));
  throw Error(ErrorKind::storage, fmt::format("{} is in use by {}; stop it or choose another folder", directory, owner),
              std::make_error_code(std::errc::device_or_resource_busy));
}

// Whether `path` still names the file behind `fd`: an owner before us may have unlinked it between our open and our flock.
bool names_same_file(int fd, const std::string& path) {
  struct stat ours {};
  struct stat named {};
  if (::fstat(fd, &ours) != 0) fail("look at", path, errno);
  if (::stat(path.c_str(), &named) != 0) {
    if (errno == ENOENT) return false;
    fail("look at", path, errno);
  }
  return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

}  // namespace

DirectoryLock DirectoryLock::acquire(const std::string& directory, const std::string& run_id) {
  const std::string path = lock_path(directory);
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    core::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) fail("open the lock file", path, errno);
    if (io::retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) fail("lock", path, errno);
      refuse(fd.get(), directory);
    }
    if (!names_same_file(fd.get(), path)) continue;
    DirectoryLock lock(std::move(fd), directory);
    try {
      lock.set_run_id(run_id);
    } catch (...) {
      lock.remove();
      throw;
    }
    return lock;
  }
  core::throw_storage("lock", path, "other processes replace it again and again", "let one of them use the folder");
}

void DirectoryLock::set_run_id(const std::string& run_id) {
  const std::string line = fmt::format("{} {}\n", ::getpid(), run_id);
  // Written before the rest is cut off, so that who reads meanwhile finds a whole first line.
  const ssize_t written = ::pwrite(fd_.get(), line.data(), line.size(), 0);
  if (written != static_cast<ssize_t>(line.size())) fail("write", lock_path(directory_), written < 0 ? errno : ENOSPC);
  if (::ftruncate(fd_.get(), static_cast<off_t>(line.size())) != 0) fail("cut", lock_path(directory_), errno);
}

void DirectoryLock::remove() noexcept {
  if (!fd_) return;
  // While it is still held, so that nobody else can have locked this file. A file that somebody put in its place is theirs.
  try {
    const std::string path = lock_path(directory_);
    if (names_same_file(fd_.get(), path)) ::unlink(path.c_str());
  } catch (const std::exception& error) {
    spdlog::warn("the lock file stays in {}: {}", directory_, error.what());
  }
  core::UniqueFd().swap(fd_);
}

}  // namespace gsnake::store
