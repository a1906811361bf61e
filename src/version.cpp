#include "greedysnake/version.h"

#include <string_view>

namespace gsnake {
namespace {

#define GSNAKE_TEXT(value) #value
#define GSNAKE_TEXT_OF(value) GSNAKE_TEXT(value)
constexpr std::string_view kNumbers = GSNAKE_TEXT_OF(GSNAKE_VERSION_MAJOR) "." GSNAKE_TEXT_OF(GSNAKE_VERSION_MINOR) "." GSNAKE_TEXT_OF(GSNAKE_VERSION_PATCH);
static_assert(kNumbers == GSNAKE_PROJECT_VERSION && kNumbers == GSNAKE_VERSION, "version.h and CMakeLists.txt's project() are to say the same version");

}  // namespace

const char* version() noexcept { return GSNAKE_VERSION; }

}  // namespace gsnake
