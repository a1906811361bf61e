// What a run's data is, wherever it lies: so that a resume can tell other data from the same under another name.
#pragma once

#include <nlohmann/json.hpp>

#include "data/batches.h"

namespace gsnake::data {

// {"rows": [of each part], "files": [{"path", "tokens", "inputs": [{"bytes", "xxh3"}, ...]}, ...]}: of each file the inputs that its tokens, documents and mask
// come from, in that order. xxh3, 16 hexadecimal digits, is XXH3-64 of the whole input where it has at most P MiB; of a larger one, of P pieces of 1 MiB, the
// first, the last, and others at equal distances; P is 64 for up to 4 files, 256 divided by their number for more, 1 at the least. Blocks on the drive. Throws Error(input).
nlohmann::json identity_of(const BatchStream& stream);

// Empty where `now` is the same data as `before`, both as identity_of() gives them; else what differs: "a.bin has other content than ...".
std::string difference(const nlohmann::json& before, const nlohmann::json& now);

}  // namespace gsnake::data
