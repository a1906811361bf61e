#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hf/weights_folder.h"
#include "refusal_only.h"

// Whatever is accepted names files of the folder alone.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return gsnake::fuzz::refusal_only([&] {
    for (const auto& [tensor, file] : gsnake::hf::parse_index("fuzz.index.json", {reinterpret_cast<const char*>(data), size})) {
      if (file.empty() || file == ".." || file.find('/') != std::string::npos) std::abort();
    }
  });
}
