// Tokens that are found in a text before anything else cuts it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gsnake::tokenizer {

class AddedTokens {
 public:
  // Of two with one content the first counts. `content` is not empty.
  void add(std::string content, std::int64_t id);

  // Calls between(text, where it begins) and token(id) in order, from left to right; of tokens that begin at one place the
  // longest counts. What is empty is left out. Takes time in proportion to the text.
  template <typename Between, typename Token>
  void split(std::string_view text, Between&& between, Token&& token) const {
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const auto* found = at_begin_of(text.substr(at));
      if (found == nullptr) {
        ++at;
        continue;
      }
      if (at > done) between(text.substr(done, at - done), done);
      token(found->second);
      at += found->first.size();
      done = at;
    }
    if (done < text.size()) between(text.substr(done), done);
  }

 private:
  using Added = std::pair<std::string, std::int64_t>;

  [[nodiscard]] const Added* at_begin_of(std::string_view text) const;

  std::vector<Added> tokens_;
  std::array<std::vector<std::size_t>, 256> by_first_byte_;  // longest first
};

}  // namespace gsnake::tokenizer
