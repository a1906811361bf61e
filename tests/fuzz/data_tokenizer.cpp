// tokenizer.json: whatever is accepted encodes a text or refuses it, and decodes every id.
#include <cstdlib>
#include <string_view>

#include "fuzz/memory_file.h"
#include "greedysnake/error.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gsnake;
  const test::MemoryFile file({data, size});
  try {
    const auto tokenizer = tokenizer::load(file.path());
    for (std::int64_t id = -1; id <= tokenizer->size() && id < 1000; ++id) static_cast<void>(tokenizer->decode(id));
    static_cast<void>(tokenizer->encode("In the beginning, 12 caf\xc3\xa9s\n\n \xff<|end|> It's"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::input || std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
