#include "core/rates.h"

#include <charconv>
#include <system_error>
#include <utility>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::core {
namespace {

bool drop_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  while (text.ends_with(' ')) text.remove_suffix(1);
  return true;
}

}  // namespace

std::optional<double> byte_rate_of(std::string_view text) {
  drop_suffix(text, "/s");
  try {
    return static_cast<double>(parse_bytes(text));
  } catch (const Error&) {
    return std::nullopt;  // whoever asks names the key and what it allows
  }
}

std::optional<double> flop_rate_of(std::string_view text) {
  if (drop_suffix(text, "/s")) {
    if (!drop_suffix(text, "FLOP")) return std::nullopt;
  } else {
    drop_suffix(text, "FLOP");
  }
  double factor = 1.0;
  for (const auto& [prefix, value] : {std::pair{"k", 1e3}, std::pair{"M", 1e6}, std::pair{"G", 1e9}, std::pair{"T", 1e12}, std::pair{"P", 1e15}}) {
    if (drop_suffix(text, prefix)) {
      factor = value;
      break;
    }
  }
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number * factor;
}

}  // namespace gsnake::core
