// Imported runs of the fixtures' tiny models.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "greedysnake/greedysnake.h"
#include "hf/temp_folder.h"

namespace gsnake::test {

inline constexpr std::array kFamilies{"gpt2", "llama", "mistral", "qwen2", "qwen3"};
inline std::string fixture(const std::string& name) { return std::string(GSNAKE_FIXTURES) + "/" + name; }

// The settings of tests/parity/reference.py, for a model in `from`.
Config config_of(const std::string& from, const std::string& dtype, const TempFolder& folder, const std::vector<std::string>& more = {});
// The fixtures' tokens as its steps.
std::vector<Batch> fixture_batches(const Config& config);

}  // namespace gsnake::test
