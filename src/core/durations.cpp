#include "core/durations.h"

#include <charconv>
#include <system_error>
#include <utility>

namespace gsnake::core {

std::optional<double> seconds_of(std::string_view text) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, seconds] : {std::pair<std::string_view, double>{"ms", 1e-3}, {"s", 1.0}, {"min", 60.0}, {"h", 3600.0}}) {
    if (unit == name) return number * seconds;
  }
  return std::nullopt;
}

}  // namespace gsnake::core
