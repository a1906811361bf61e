// A small file that is replaced as a whole.
#pragma once

#include <string>
#include <string_view>

namespace gsnake::io {

// By a temporary file in its folder and a rename: a reader finds the file before or the file after, and so does a power cut. Throws
// Error(storage) that names the path, and leaves nothing behind.
void replace_file(const std::string& path, std::string_view text);

}  // namespace gsnake::io
