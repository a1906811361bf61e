// Which calls of the process under test fail, and how: see fault_shim.cpp.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

// The action of the first rule that this call meets; empty: none. Sleeps, or does not return, where a rule says so.
std::string_view fault(std::string_view call, const std::string& path);
std::string path_of(int fd);
// What the call gives under that action: bytes, or -1 and errno.
ssize_t read_under(std::string_view action, int fd, void* data, std::size_t size, off_t offset);
ssize_t write_under(std::string_view action, int fd, const void* data, std::size_t size, off_t offset);
