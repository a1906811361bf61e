// What the store asks of folders and file systems.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"

namespace gsnake::io {

// Makes `path` and the folders above it that are missing (mode 0777 less the umask). Returns those newly made, outermost first, for
// remove_directories(). Throws Error(storage), having removed what it made.
std::vector<std::string> make_directories(const std::string& path);

// Removes what make_directories() returned, innermost first; a folder that is not empty, and those above it, stay.
void remove_directories(std::span<const std::string> made) noexcept;

// Bytes an unprivileged process may still allocate on the file system of `path`; the largest number where the file system has no limit of
// its own (ramfs). Throws Error(storage).
[[nodiscard]] std::uint64_t free_bytes(const std::string& path);

// Creates and removes a file in the folder. Throws Error(storage) that says why that fails and what to do.
void require_writable_directory(const std::string& path);

// "DIRECTORY/.gsnake-PID-N", another at each call: for files that live for a moment.
[[nodiscard]] std::string temporary_path(const std::string& directory);

// A new, preallocated file in the folder that has no name any more, so that nothing is left of it however the process ends. Throws
// Error(storage).
[[nodiscard]] File make_nameless_file(const std::string& directory, std::uint64_t size_bytes, DirectIo direct);

}  // namespace gsnake::io
