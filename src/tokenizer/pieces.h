// What happens to a text before its model sees it: normal forms, and the cut into pieces that no token reaches over.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tokenizer/file.h"

namespace gsnake::tokenizer {

// Byte b as the character that stands for it in byte-level vocabularies: itself where it can be printed, else one from U+0100 on.
const std::vector<std::string>& byte_characters();

// Normalizer and pre-tokenizer of a tokenizer.json. Immutable, safe from any thread.
class PieceCutter {
 public:
  // Throws Error(input), naming a part that is not known here.
  PieceCutter(const std::string& path, const Json& json);

  // What the normalizer makes of a text.
  [[nodiscard]] std::string normalize(const std::string& text) const;
  // Of one normalized text between added tokens, of which the first `beginning` bytes come from the input's first character. Bytes are
  // written as byte_characters() where is_byte_level().
  [[nodiscard]] std::vector<std::string> cut(const std::string& normal, std::size_t beginning) const;
  [[nodiscard]] bool is_byte_level() const noexcept { return byte_level_; }

 private:
  using Pieces = std::vector<std::string>;
  // A stage that drops the first bytes takes them off `beginning`.
  using Stage = std::function<Pieces(const Pieces& pieces, std::size_t& beginning)>;

  void add_normalizer(const Json& part);
  void add_pre_tokenizer(const Json& part);
  void add_split(const Json& part);
  void add_pattern(const std::string& expression);
  void add_byte_level(const Json& part);
  void add_metaspace(const Json& part);

  std::string path_;
  std::vector<std::string> forms_;
  std::vector<Stage> stages_;
  bool byte_level_ = false;
};

}  // namespace gsnake::tokenizer
