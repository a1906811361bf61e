// Errors with one shape: "cannot OPERATION SUBJECT: REASON; REMEDY".
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "greedysnake/error.h"

namespace gsnake::core {

// `value` as an operating system error. Take it before another call can change errno.
[[nodiscard]] inline std::error_code errno_code(int value = errno) noexcept { return {value, std::system_category()}; }

// Throws Error(storage): "cannot OPERATION PATH: REASON; REMEDY", where the reason is the code's text. `operation` is a verb ("create",
// "read 4096 B at offset 512 of"). An empty remedy is left out.
[[noreturn]] void throw_storage(std::string_view operation, std::string_view path, std::error_code code, std::string_view remedy);

// The same for a rule of our own that has no errno behind it.
[[noreturn]] void throw_storage(std::string_view operation, std::string_view path, std::string_view reason, std::string_view remedy);

}  // namespace gsnake::core
