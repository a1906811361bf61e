// Errors of bases, in one shape each.
#pragma once

#include <string>
#include <string_view>

#include "core/errors.h"

namespace gsnake::base {

inline constexpr const char* kMakeAgain = "the base is damaged: make it again with gsnake quantize, or copy it anew";

// Throws Error(storage): "cannot OPERATION PATH: REASON; the base is damaged ...".
[[noreturn]] inline void throw_damaged(std::string_view operation, std::string_view path, std::string_view reason) {
  core::throw_storage(operation, path, reason, kMakeAgain);
}

// Throws Error(input): what is there is no base that this build can read.
[[noreturn]] inline void refuse_folder(const std::string& path, const std::string& reason) {
  throw Error(ErrorKind::input, "cannot use " + path + " as a base: " + reason + "; make one with gsnake quantize --from MODEL --to BASE");
}

}  // namespace gsnake::base
