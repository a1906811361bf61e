#include "store/layout/space.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/directories.h"

namespace gsnake::store {
namespace {

struct FileSystemNeed {
  std::string directories;
  std::string any_directory;
  std::uint64_t bytes = 0;
  std::uint64_t reclaimed_bytes = 0;
};

void check_file_system(const FileSystemNeed& need) {
  std::uint64_t free_bytes = 0;
  if (__builtin_add_overflow(io::free_bytes(need.any_directory), need.reclaimed_bytes, &free_bytes)) return;
  if (need.bytes <= free_bytes) return;
  core::throw_storage(fmt::format("preallocate {} in", core::format_bytes(need.bytes)), need.directories,
                      fmt::format("only {} are free there", core::format_bytes(free_bytes)),
                      "free some space, or name larger or more folders in ssd.paths");
}

}  // namespace

void check_space(std::span<const SpaceNeed> needs) {
  std::map<dev_t, FileSystemNeed> by_device;
  for (const SpaceNeed& need : needs) {
    struct stat status {};
    if (::stat(need.directory.c_str(), &status) != 0)
      core::throw_storage("look at", need.directory, core::errno_code(), "look at the drive");
    FileSystemNeed& sum = by_device[status.st_dev];
    sum.directories += (sum.directories.empty() ? "" : " and ") + need.directory;
    sum.any_directory = need.directory;
    sum.bytes += need.bytes;
    sum.reclaimed_bytes += need.reclaimed_bytes;
  }
  for (const auto& [device, need] : by_device) check_file_system(need);
}

}  // namespace gsnake::store
