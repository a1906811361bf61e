// Which version of the library is loaded.
#pragma once

namespace gsnake {

// "0.1.0": of the library at run time, which need not be the one whose headers a program was compiled with. Static storage.
const char* version() noexcept;

}  // namespace gsnake
