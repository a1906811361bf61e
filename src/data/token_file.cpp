#include "data/token_file.h"

#include <filesystem>

#include "data/array_file.h"
#include "data/jsonl.h"

namespace gsnake::data {

namespace {

// Megatron's own commands name a pair by what .bin and .idx have in common, or somebody names the index.
std::string path_of_tokens(const std::string& path) {
  std::error_code ignored;
  if (path.ends_with(".idx")) return std::filesystem::path(path).replace_extension(".bin").string();
  const bool is_prefix = !std::filesystem::exists(path, ignored) && std::filesystem::exists(path + ".idx", ignored);
  return is_prefix ? path + ".bin" : path;
}

}  // namespace

std::unique_ptr<TokenFile> open_token_file(const DataFile& file, std::int64_t vocab, Access access, TokenDtype bare, std::int64_t answer) {
  const auto path = path_of_tokens(file.path);
  const auto extension = std::filesystem::path(path).extension();
  if (extension == ".jsonl") {
    if (!file.mask.empty()) refuse(path, "its examples have masks of their own: write them as \"mask\", and name no mask file");
    if (file.dtype != TokenDtype::automatic) refuse(path, "its ids are JSON's numbers: leave dtype out");
    return std::make_unique<JsonlFile>(path, vocab, access, answer);
  }
  if (answer > 0) refuse(path, "train.objective = \"dpo\" takes preference pairs, which are lines of a .jsonl; scripts/tokenize writes them");
  const bool is_text = extension != ".bin" && file.dtype == TokenDtype::automatic;
  auto tokens = is_text ? ArrayFile::open_text(path, vocab, access) : ArrayFile::open_bin(path, vocab, access, file.dtype, bare);
  if (!file.mask.empty()) tokens->set_mask(file.mask, access);
  return tokens;
}

}  // namespace gsnake::data
