// Examples, and preference pairs: whatever is accepted can be read, in whole and in parts, and has ids of the vocabulary.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "data/jsonl.h"
#include "fuzz/memory_file.h"
#include "greedysnake/error.h"

namespace gsnake {
namespace {

// answer: as data::JsonlFile has it.
void read_all(const std::string& path, std::int64_t answer) {
  constexpr std::int64_t kVocab = 1000;
  try {
    const data::JsonlFile examples(path, kVocab, data::Access::random, answer);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(examples.tokens()));
    std::vector<std::uint8_t> counted(ids.size());
    examples.read(0, ids, counted);
    for (const auto id : ids) {
      if (id < 0 || id >= kVocab) std::abort();
    }
    std::vector<data::Document> documents(static_cast<std::size_t>(examples.documents()));
    examples.read_documents(0, documents);
    if (answer > 0 && documents.size() % 2 != 0) std::abort();
    for (std::size_t d = 0; d < documents.size(); d += 5) {
      std::vector<std::int64_t> part(static_cast<std::size_t>(documents[d].tokens));
      examples.read(documents[d].first, part, {});
      if (!std::equal(part.begin(), part.end(), ids.begin() + documents[d].first)) std::abort();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::input || std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

}  // namespace
}  // namespace gsnake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const gsnake::test::MemoryFile file({data, size});
  gsnake::read_all(file.path(), 0);
  gsnake::read_all(file.path(), 8);
  return 0;
}
