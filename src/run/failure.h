// What a person is told of a failure, whatever threw it.
#pragma once

#include <string>

namespace gsnake::run {

struct Failure {
  int exit_status = 0;
  std::string message;  // one line; what does not fit a budget has a table behind it
};

// Of the exception that is being handled: to be called in a catch block. LibTorch's and the standard library's exceptions are no
// gsnake::Error: lack of memory counts as a budget that is too large for the machine, anything else as a bug (exit status 1).
Failure current_failure();

}  // namespace gsnake::run
