// llm.c's header: whatever is accepted lies within the file.
#include <cstdlib>
#include <string_view>

#include "data/array_file.h"
#include "fuzz/memory_file.h"
#include "greedysnake/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gsnake;
  const test::MemoryFile file({data, size});
  try {
    const auto tokens = data::ArrayFile::open_bin(file.path(), 50257, data::Access::random);
    if (tokens->tokens() < 1 || tokens->tokens() > static_cast<std::int64_t>(size)) std::abort();
    std::vector<std::int64_t> ids(static_cast<std::size_t>(tokens->tokens()));
    tokens->read(0, ids, {});
    for (const auto id : ids) {
      if (id < 0 || id >= 50257) std::abort();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::input || std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
