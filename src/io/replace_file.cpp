#include "io/replace_file.h"

#include <filesystem>
#include <span>

#include "core/errors.h"
#include "io/directories.h"
#include "io/durable.h"

namespace gsnake::io {

void replace_file(const std::string& path, std::string_view text) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const std::string temporary = temporary_path(folder);
  SyncOps& sync = kernel_sync();
  try {
    write_file(sync, temporary, std::as_bytes(std::span(text)));
    if (sync.rename(temporary.c_str(), path.c_str()) != 0) core::throw_storage("create", path, core::errno_code(), "check its folder and permissions");
  } catch (...) {
    sync.unlink(temporary.c_str());
    throw;
  }
  sync_directory(sync, folder);
}

}  // namespace gsnake::io
