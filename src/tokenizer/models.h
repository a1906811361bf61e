// The models of a tokenizer.json: from a piece of text to token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer/file.h"

namespace gsnake::tokenizer {

using Vocabulary = std::unordered_map<std::string, std::int64_t>;

// Immutable, safe from any thread.
class PieceModel {
 public:
  virtual ~PieceModel() = default;
  // Appends the ids of `piece`. Throws Error(input) where it has none.
  virtual void encode(const std::string& piece, std::vector<std::int64_t>& ids) const = 0;
  [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;
};

// Byte-pair encoding (Sennrich et al., 2016) over the characters of a piece: the pair that was merged first in training is merged first.
std::unique_ptr<PieceModel> make_bpe(const std::string& path, const Json& model);

// The most probable cut of a piece into tokens (Kudo, 2018); a character without a token is the unknown one, or its bytes.
std::unique_ptr<PieceModel> make_unigram(const std::string& path, const Json& model);

}  // namespace gsnake::tokenizer
