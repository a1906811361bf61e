// Where the link between GPUs is tested: the fake GPU, or real ones. Each program has its own (place.cpp).
#pragma once

#include <string>

namespace gsnake::test {

// Ready for ranks on that many GPUs; else why not.
std::string why_not_on(int gpus);

}  // namespace gsnake::test
