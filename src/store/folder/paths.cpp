#include "store/folder/paths.h"

#include <filesystem>

#include "core/errors.h"

namespace gsnake::store {

namespace fs = std::filesystem;

std::string resolved(const std::string& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(fs::absolute(path), error);
  if (error) core::throw_storage("resolve", path, error, "check the path and its permissions");
  if (!real.has_filename() && real.has_relative_path()) real = real.parent_path();
  return real.string();
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || (fs::equivalent(a, b, error) && !error);
}

}  // namespace gsnake::store
