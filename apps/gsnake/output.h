// Results on stdout.
#pragma once

#include <string_view>

namespace gsnake::command {

// Writes `text` to stdout at once. Throws Error(storage) when it can't be written: a result that was lost must not look like success.
void print(std::string_view text);

}  // namespace gsnake::command
