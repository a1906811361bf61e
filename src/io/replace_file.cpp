#include "io/replace_file.h"

#include <fcntl.h>

#include <filesystem>
#include <span>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/directories.h"
#include "io/durable.h"
#include "io/write_all.h"

namespace gsnake::io {
namespace {

constexpr const char* kRemedy = "name a file in a folder that can be written, on a drive with space";

// Its mode is as the user's umask has it.
void write(SyncOps& sync, const std::string& path, const std::string& as, std::string_view text) {
  const core::UniqueFd file(sync.open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file) core::throw_storage("write", as, core::errno_code(), kRemedy);
  const auto write_some = [&](std::span<const std::byte> rest, std::size_t) { return sync.write(file.get(), rest.data(), rest.size()); };
  std::error_code error = write_all(std::as_bytes(std::span(text)), write_some);
  if (!error && sync.fsync(file.get()) != 0) error = core::errno_code();
  if (error) core::throw_storage("write", as, error, kRemedy);
}

}  // namespace

void replace_file(const std::string& path, std::string_view text) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const std::string temporary = temporary_path(folder);
  SyncOps& sync = kernel_sync();
  try {
    write(sync, temporary, path, text);
    if (sync.rename(temporary.c_str(), path.c_str()) != 0) core::throw_storage("write", path, core::errno_code(), kRemedy);
  } catch (...) {
    sync.unlink(temporary.c_str());
    throw;
  }
  sync_directory(sync, folder);
}

}  // namespace gsnake::io
