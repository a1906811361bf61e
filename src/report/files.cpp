#include "report/files.h"

#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "core/errors.h"

namespace gsnake::report {
namespace {

constexpr int kMostDeep = 64;

}  // namespace

void refuse(const std::string& file, const std::string& reason, const std::string& remedy) {
  throw Error(ErrorKind::input, fmt::format("cannot use {}: {}; {}", file, reason, remedy));
}

std::string read_text(const std::string& path) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) code = std::make_error_code(std::errc::is_a_directory);
  if (!code) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.is_open() && !file.bad()) return text;
    code = core::errno_code(errno != 0 ? errno : EIO);
  }
  throw Error(ErrorKind::input, fmt::format("cannot read {}: {}; check the path", path, code.message()), code);
}

Json parse(std::string_view text) {
  bool too_deep = false;
  const auto look = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMostDeep;
    return !too_deep;
  };
  Json json = Json::parse(text, look, false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

Json read_object(const std::string& path, const std::string& remedy) {
  Json json = parse(read_text(path));
  if (json.is_discarded()) refuse(path, "it is not valid JSON", remedy);
  if (!json.is_object()) refuse(path, "its JSON is no object", remedy);
  return json;
}

}  // namespace gsnake::report
