#include "core/errors.h"

#include <fmt/format.h>

namespace gsnake::core {
namespace {

std::string message(std::string_view operation, std::string_view path, std::string_view reason, std::string_view remedy) {
  return fmt::format("cannot {} {}: {}{}{}", operation, path, reason, remedy.empty() ? "" : "; ", remedy);
}

}  // namespace

void throw_storage(std::string_view operation, std::string_view path, std::error_code code, std::string_view remedy) {
  throw Error(ErrorKind::storage, message(operation, path, code.message(), remedy), code);
}

void throw_storage(std::string_view operation, std::string_view path, std::string_view reason, std::string_view remedy) {
  throw Error(ErrorKind::storage, message(operation, path, reason, remedy));
}

}  // namespace gsnake::core
