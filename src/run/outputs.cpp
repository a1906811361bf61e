#include "run/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "core/errors.h"
#include "io/durable.h"

namespace gsnake::run {
namespace {

namespace fs = std::filesystem;

int access_error(const fs::path& path, int mode) { return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0 ? 0 : errno; }

// Why a file can't be opened for writing, as an errno; 0: it can. A folder that equals `made_later` may be absent.
int write_error(const fs::path& path, const fs::path& made_later) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode) ? EISDIR : access_error(path, W_OK);
  const fs::path folder = path.parent_path();
  const int error = access_error(folder, W_OK | X_OK);
  return folder == made_later && error != EACCES && error != EROFS ? 0 : error;
}

// How what we write begins.
constexpr std::string_view kMetricsBegin = "{\"event\":\"";
constexpr std::string_view kTraceBegin = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";

// Whether a file holds something else than what a run wrote there, be it torn or, after a power cut, zeros. What is no regular file holds
// nothing.
bool is_somebody_elses(const fs::path& path, std::string_view begin) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return false;
  std::string found(begin.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(found.data(), static_cast<std::streamsize>(found.size()));
  found.resize(static_cast<std::size_t>(file.gcount()));
  if (found.empty() || io::is_blank(found)) return false;
  found.resize(std::min(found.size(), found.find_first_of(std::string_view("\0\n", 2))));
  return found.empty() || !begin.starts_with(found);
}

void check(const Config& config, const char* key, const std::string& name, std::string_view begin) {
  if (name.empty()) return;
  const fs::path path = fs::path(output_path(config, name)).lexically_normal();
  const fs::path run_dir = (fs::path(config.run.dir) / "").lexically_normal().parent_path();
  if (const int error = write_error(path, run_dir); error != 0) {
    core::throw_storage("write", path.string(), core::errno_code(error), fmt::format("set {} to a file that can be written", key));
  }
  if (is_somebody_elses(path, begin)) {
    core::throw_storage("write over", path.string(), "it holds something that no run wrote", fmt::format("move it away, or set {} to another file", key));
  }
}

}  // namespace

std::string output_path(const Config& config, const std::string& name) { return (fs::path(config.run.dir) / name).string(); }

void check_outputs(const Config& config) {
  check(config, "run.metrics", config.run.metrics, kMetricsBegin);
  check(config, "run.trace", config.run.trace, kTraceBegin);
}

}  // namespace gsnake::run
