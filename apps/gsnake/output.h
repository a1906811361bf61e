// Results on stdout.
#pragma once

#include <exception>
#include <string_view>

namespace gsnake::command {

// Whoever read stdout is gone: `| head`. No error that anybody would want to read of.
class ReaderGone : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "nobody reads stdout any more"; }
};

// Writes `text` to stdout at once. Throws ReaderGone, or Error(storage) when it can't be written: a result that was lost must not look like
// success.
void print(std::string_view text);

}  // namespace gsnake::command
