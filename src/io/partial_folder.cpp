#include "io/partial_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <span>

#include "core/errors.h"
#include "io/durable.h"

namespace gsnake::io {
namespace {

namespace fs = std::filesystem;

// Without a slash at its end; what a link to a folder leads to, since a folder can't take a link's place.
std::string target_of(const std::string& path, const std::string& purpose) {
  if (path.empty()) throw Error(ErrorKind::usage, fmt::format("cannot {} \"\": name a folder with --to", purpose));
  const fs::path whole = fs::absolute(path).lexically_normal();
  const fs::path named = whole.has_filename() ? whole : whole.parent_path();
  std::error_code error;
  const fs::path real = fs::is_directory(named, error) ? fs::canonical(named, error) : named;
  return error ? named.string() : real.string();
}

}  // namespace

PartialFolder::PartialFolder(const std::string& to, const std::string& purpose)
    : to_(target_of(to, purpose)), partial_(to_ + ".gsnake-partial") {
  std::error_code error;
  if (fs::exists(fs::symlink_status(to_, error)) && !(fs::is_directory(to_, error) && fs::is_empty(to_, error))) {
    throw Error(ErrorKind::usage, fmt::format("cannot {} {}: it exists and is no empty folder; name another", purpose, to_));
  }
  claim(purpose);
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  if (!finished_) fs::remove_all(partial_, ignored);
}

// What a killed process left is nobody's: its lock is gone.
void PartialFolder::claim(const std::string& purpose) {
  if (::mkdir(partial_.c_str(), 0777) != 0 && errno != EEXIST)
    core::throw_storage("make", partial_, core::errno_code(), "name a folder whose parent exists and can be written to");
  folder_ = core::UniqueFd(::open(partial_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder_) core::throw_storage("open", partial_, core::errno_code(), "remove it");
  if (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorKind::usage, fmt::format("cannot {} {}: another process writes to {}; wait for its end", purpose, to_, partial_));
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(partial_, error)) fs::remove_all(entry.path(), error);
}

core::UniqueFd PartialFolder::create(const std::string& name) const {
  core::UniqueFd fd(::open(path_of(name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd) core::throw_storage("create", path_of(name), core::errno_code(), "check the folder's permissions");
  return fd;
}

void PartialFolder::write_file(const std::string& name, const std::string& bytes) const {
  const core::UniqueFd fd = create(name);
  write_at(fd.get(), path_of(name), std::as_bytes(std::span(bytes)), 0);
  sync_data(kernel_sync(), fd.get(), path_of(name));
}

void PartialFolder::finish() {
  sync_directory(kernel_sync(), partial_);
  if (std::rename(partial_.c_str(), to_.c_str()) != 0)
    core::throw_storage("rename " + partial_ + " to", to_, core::errno_code(), "name a folder that is not there yet");
  finished_ = true;
  sync_directory(kernel_sync(), fs::path(to_).parent_path().string());
}

}  // namespace gsnake::io
