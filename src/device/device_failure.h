// What is said of a device that failed while a run was at work.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "greedysnake/error.h"

namespace gsnake::device {

// Throws Error(device) that names the device and what failed, and says how to go on.
[[noreturn]] inline void throw_failure(const std::string& device, std::string_view what) {
  throw Error(ErrorKind::device, fmt::format("{}: {}; the run goes on from its last commit with `gsnake train`; if it comes again, look for the driver's own word in the "
                                             "kernel's log (dmesg, NVRM)",
                                             device, what));
}

}  // namespace gsnake::device
