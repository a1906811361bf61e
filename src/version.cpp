#include "greedysnake/version.h"

namespace gsnake {

const char* version() noexcept { return GSNAKE_VERSION; }

}  // namespace gsnake
