// What is behind a folder.
#pragma once

#include <string>

namespace gsnake::measure {

// The folder itself, or the nearest one above it that is there.
std::string nearest_folder(const std::string& path);

// "252:0 /dev/vda": the device that the kernel has the folder's file system on, and what is mounted there. Of folders that are on the same
// file system: the same.
std::string device_of(const std::string& path);

// The model that the drive says it is, else what is mounted ("/dev/vda"), else "".
std::string drive_name(const std::string& path);

}  // namespace gsnake::measure
