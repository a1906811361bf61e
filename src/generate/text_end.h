// Where a text ends: the tokens that a Hugging Face folder says, and strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gsnake::generate {

// "eos_token_id" of generation_config.json, or else of config.json, of whichever of these `files` there are; none: they do not say. Throws Error(input) for one that
// is no JSON.
std::vector<std::int64_t> end_tokens(const std::vector<std::string>& files);

// Bytes that come piece by piece, as text that is safe to show: no character is cut, and no more than a stop string's beginning is held back.
class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // What can be shown now. Nothing more comes once stopped().
  std::string add(std::string_view bytes);
  // What was held back, once no more bytes come.
  std::string finish();
  // A stop string came: what was shown ends before it.
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  [[nodiscard]] std::size_t beginning_of_stop() const;

  const std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace gsnake::generate
