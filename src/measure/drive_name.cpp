#include "measure/drive_name.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/proc_file.h"

namespace gsnake::measure {
namespace {

namespace fs = std::filesystem;

// "MAJOR:MINOR"; "" where it can't be looked at.
std::string number_of(const std::string& path) {
  struct stat status {};
  if (::stat(nearest_folder(path).c_str(), &status) != 0) return "";
  return fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev));
}

// Of the mount that has this device number.
std::string source_of(const std::string& number) {
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line);
    std::istringstream after(line.substr(dash + 3));
    std::string skipped, device, type, source;
    before >> skipped >> skipped >> device;
    after >> type >> source;
    if (device == number) return source;
  }
  return "";
}

std::string trimmed(const std::string& text) { return text.substr(0, text.find_last_not_of(" \t\n") + 1); }

}  // namespace

std::string nearest_folder(const std::string& path) {
  std::error_code ignored;
  fs::path folder = fs::absolute(path, ignored);
  while (!fs::is_directory(folder, ignored) && folder.has_relative_path()) folder = folder.parent_path();
  return folder.string();
}

std::string device_of(const std::string& path) {
  const std::string number = number_of(path);
  return fmt::format("{} {}", number, source_of(number));
}

// A partition's model is its drive's.
std::string drive_name(const std::string& path) {
  const std::string number = number_of(path);
  for (const char* place : {"device", "../device"}) {
    const std::string model = trimmed(core::line_of(fmt::format("/sys/dev/block/{}/{}/model", number, place)));
    if (!model.empty()) return model;
  }
  return source_of(number);
}

}  // namespace gsnake::measure
