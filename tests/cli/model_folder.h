// A model as Hugging Face has it, in a test's folder.
#pragma once

#include <filesystem>

#include "cli/files.h"

namespace gsnake::test {

// hf/, a small Llama with a tokenizer.json of no use, and tokens.bin.
inline void put_model(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  fs::copy(fs::path(GSNAKE_FIXTURES) / "llama", folder / "hf", fs::copy_options::recursive);
  fs::copy(fs::path(GSNAKE_FIXTURES) / "tokens.bin", folder / "tokens.bin");
  put(folder / "hf/tokenizer.json", "{}");
}

}  // namespace gsnake::test
