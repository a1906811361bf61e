#include "store/folder/footprint.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"
#include "io/durable.h"

namespace gsnake::store {
namespace {

void remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) spdlog::warn("can't remove {}: {}", path, core::errno_code().message());
}

}  // namespace

Footprint::~Footprint() {
  for (const std::string& path : scratch_files_) remove_file(path);
  if (!keep_state_) {
    for (const std::string& path : state_files_) remove_file(path);
    for (const std::string& path : claims_) remove_file(path);
  }
  for (DirectoryLock& lock : locks_) lock.remove();
  if (keep_state_) return;
  for (auto made = made_directories_.rbegin(); made != made_directories_.rend(); ++made) io::remove_directories(*made);
}

void Footprint::make_directory(const std::string& directory) {
  const std::vector<std::string>& made = made_directories_.emplace_back(io::make_directories(directory));
  for (const std::string& path : made) io::sync_directory(io::kernel_sync(), std::filesystem::path(path).parent_path().string());
}

void Footprint::lock(const std::string& directory, const std::string& run_id) {
  locks_.push_back(DirectoryLock::acquire(directory, run_id));
}

void Footprint::set_run_id(const std::string& run_id) {
  for (DirectoryLock& lock : locks_) lock.set_run_id(run_id);
}

}  // namespace gsnake::store
