// What can fail, as one exception type; its kind is the command's exit status.
#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace gsnake {

// The values are the exit statuses of the `gsnake` command.
enum class ErrorKind : int {
  usage = 2,       // the call or the config is wrong
  budget = 3,      // does not fit a memory budget; the message carries the table of what needs what
  storage = 4,     // a drive, a file system or a directory's lock failed
  input = 5,       // an input file is missing or malformed
  non_finite = 6,  // the loss or a gradient stopped being finite
  device = 7,      // a device failed: of CUDA, a call or a kernel
  rank = 8,        // another rank failed, or gave no sign of life
};

// One line: what failed, on what (path, key, object), why (errno or rule), and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::error_code code = {})
      : std::runtime_error(message), kind_(kind), code_(code) {}

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
  [[nodiscard]] int exit_status() const noexcept { return static_cast<int>(kind_); }
  // The operating system's error behind it; empty where there is none.
  [[nodiscard]] const std::error_code& code() const noexcept { return code_; }

 private:
  ErrorKind kind_;
  std::error_code code_;
};

}  // namespace gsnake
