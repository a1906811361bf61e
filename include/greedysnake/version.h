// Which version a program is compiled with, and which one of the library is loaded. While the first number is 0, another second one is another API and another library
// (libgreedysnake.so.0.1); of a library with equal ones, every third goes with every program.
#pragma once

#define GSNAKE_VERSION_MAJOR 0
#define GSNAKE_VERSION_MINOR 1
#define GSNAKE_VERSION_PATCH 0
#define GSNAKE_VERSION "0.1.0"

namespace gsnake {

// "0.1.0": of the library at run time, which need not be GSNAKE_VERSION of the headers that a program was compiled with. Static storage.
const char* version() noexcept;

}  // namespace gsnake
