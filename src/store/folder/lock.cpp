#include "store/folder/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <regex>
#include <system_error>
#include <thread>

#include "core/errors.h"
#include "greedysnake/error.h"
#include "io/durable.h"
#include "io/interrupted.h"

namespace gsnake::store {
namespace {

constexpr int kMostAttempts = 1000;  // each lost to another process that came and went

std::string lock_path(const std::string& directory) { return directory + "/" + kLockName; }
std::string earlier_path(const std::string& directory) { return directory + "/" + kEarlierLockName; }

[[noreturn]] void fail(const char* operation, const std::string& path, int error) {
  core::throw_storage(operation, path, core::errno_code(error), "choose a folder that this user can write to");
}

// As much as an owner writes; empty where nothing can be read.
std::string read_head(int fd) {
  std::array<char, 256> text{};
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

// A longer one of an earlier owner may still stand behind it. Empty while the owner has locked but not yet written.
std::string first_line_of(const std::string& head) {
  const std::size_t end = head.find('\n');
  return end == std::string::npos ? std::string() : head.substr(0, end);
}

std::string read_first_line(int fd) { return first_line_of(read_head(fd)); }

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

// What an owner writes: "PID RUN_ID".
bool is_owner_line(const std::string& line) {
  static const std::regex pattern("[0-9]+ .+");
  return std::regex_match(line, pattern);
}

std::uint64_t regular_bytes(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail("look at", path, errno);
  if (!S_ISREG(status.st_mode)) core::throw_storage("lock", path, "it is no regular file", "move it out of the way, or name another folder");
  return static_cast<std::uint64_t>(status.st_size);
}

// Empty while its owner has locked but not yet written.
void refuse_others_file(int fd, const std::string& path) {
  if (regular_bytes(fd, path) == 0) return;
  const std::string head = read_head(fd);
  if (io::is_blank(head) || is_owner_line(first_line_of(head))) return;
  core::throw_storage("lock", path, "it is not greedysnake's, whose runs would replace it", "move it out of the way, or name another folder");
}

// Where an earlier version left its lock: held as ours is. Whoever else has a file of that name keeps it, and is only asked whether it is in
// use.
core::UniqueFd lock_earlier(const std::string& directory) {
  const std::string path = earlier_path(directory);
  core::UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  static const std::regex pattern("[0-9]+ ([0-9a-f]{16}|being opened)");
  const bool ours = std::regex_match(read_first_line(fd.get()), pattern);
  if (!ours && status.st_size > 0) return {};
  if (io::retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) refuse(fd.get(), directory);
  return ours ? std::move(fd) : core::UniqueFd();
}

void unlink_own(int fd, const std::string& path) {
  if (names_same_file(fd, path)) ::unlink(path.c_str());
}

}  // namespace

DirectoryLock DirectoryLock::acquire(const std::string& directory, const std::string& run_id) {
  const std::string path = lock_path(directory);
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    core::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    if (!fd) fail("open the lock file", path, errno);
    refuse_others_file(fd.get(), path);
    if (io::retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) fail("lock", path, errno);
      refuse(fd.get(), directory);
    }
    if (!names_same_file(fd.get(), path)) continue;
    DirectoryLock lock(std::move(fd), directory);
    try {
      lock.earlier_ = lock_earlier(directory);
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
    unlink_own(fd_.get(), lock_path(directory_));
    if (earlier_) unlink_own(earlier_.get(), earlier_path(directory_));
  } catch (const std::exception& error) {
    spdlog::warn("the lock file stays in {}: {}", directory_, error.what());
  }
  core::UniqueFd().swap(fd_);
  core::UniqueFd().swap(earlier_);
}

}  // namespace gsnake::store
