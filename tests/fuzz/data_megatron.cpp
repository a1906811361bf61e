// Megatron's index: its first four bytes are the size of the .bin here, the rest is the index. Documents that are told lie end to end in
// it.
#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "data/megatron.h"
#include "fuzz/memory_file.h"
#include "greedysnake/error.h"

namespace {

void check(const gsnake::data::MegatronIndex& index, std::int64_t bin_bytes) {
  if (index.tokens() * index.token_bytes() != bin_bytes) std::abort();
  std::vector<gsnake::data::Document> all(static_cast<std::size_t>(index.documents()));
  index.read_documents(0, all);
  std::int64_t token = 0;
  for (const auto& document : all) {
    if (document.first != token || document.tokens < 0) std::abort();
    token += document.tokens;
  }
  if (token != index.tokens()) std::abort();
  for (std::size_t i = 0; i < all.size(); i += 7) {
    gsnake::data::Document one;
    index.read_documents(static_cast<std::int64_t>(i), {&one, 1});
    if (one.first != all[i].first || one.tokens != all[i].tokens) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gsnake;
  const std::span<const std::uint8_t> input(data, size);
  const auto head = input.first(std::min<std::size_t>(size, 4));
  const auto bin_bytes = head.size() < 4 ? 0 : data::little_endian(head, false);
  const test::MemoryFile file(input.subspan(head.size()));
  try {
    check(data::MegatronIndex(file.path(), "the.bin", bin_bytes), bin_bytes);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::input || std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
