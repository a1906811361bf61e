#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace gsnake::tokenizer {

void AddedTokens::add(std::string content, std::int64_t id) {
  auto& bucket = by_first_byte_[static_cast<unsigned char>(content.front())];
  const auto shorter = std::find_if(bucket.begin(), bucket.end(), [&](std::size_t i) { return tokens_[i].first.size() < content.size(); });
  bucket.insert(shorter, tokens_.size());
  tokens_.emplace_back(std::move(content), id);
}

const AddedTokens::Added* AddedTokens::at_begin_of(std::string_view text) const {
  for (const std::size_t i : by_first_byte_[static_cast<unsigned char>(text.front())]) {
    if (text.starts_with(tokens_[i].first)) return &tokens_[i];
  }
  return nullptr;
}

}  // namespace gsnake::tokenizer
