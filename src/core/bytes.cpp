#include "core/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "greedysnake/error.h"

namespace gsnake::core {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};

constexpr std::array kUnits{
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"kB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
    Unit{"PB", 1'000'000'000'000'000},
    Unit{"KiB", 1ULL << 10},
    Unit{"MiB", 1ULL << 20},
    Unit{"GiB", 1ULL << 30},
    Unit{"TiB", 1ULL << 40},
    Unit{"PiB", 1ULL << 50},
};

[[noreturn]] void refuse(std::string_view text, std::string_view reason) {
  throw Error(
      ErrorKind::usage,
      fmt::format("'{}' is not a byte quantity: {}; write a number and a unit, like \"4 GiB\", \"1.5 GB\" or \"4096\"", text, reason));
}

std::string_view take_digits(std::string_view& rest) {
  const std::size_t end = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const std::string_view digits = rest.substr(0, end);
  rest.remove_prefix(end);
  return digits;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// floor(0.DIGITS x unit), exact: the largest unit times 9 fits 64 bits.
std::uint64_t fraction_bytes(std::string_view digits, std::uint64_t unit) {
  std::uint64_t bytes = 0;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    bytes = (static_cast<std::uint64_t>(*digit - '0') * unit + bytes) / 10;
  }
  return bytes;
}

std::uint64_t unit_bytes(std::string_view text, std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit.bytes;
  }
  refuse(text, fmt::format("the unit '{}' is not one of B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB", name));
}

}  // namespace

std::uint64_t parse_bytes(std::string_view text) {
  std::string_view rest = trim(text);
  const std::string_view whole_digits = take_digits(rest);
  if (whole_digits.empty()) refuse(text, "it does not start with a digit");
  std::string_view fraction_digits;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    fraction_digits = take_digits(rest);
    if (fraction_digits.empty()) refuse(text, "no digit follows the point");
  }
  const std::uint64_t unit = unit_bytes(text, trim(rest));
  if (unit == 1 && !fraction_digits.empty()) refuse(text, "a byte has no fractions");
  std::uint64_t whole = 0;
  const auto [end, error] = std::from_chars(whole_digits.data(), whole_digits.data() + whole_digits.size(), whole);
  std::uint64_t bytes = 0;
  if (error != std::errc{} || __builtin_mul_overflow(whole, unit, &bytes) ||
      __builtin_add_overflow(bytes, fraction_bytes(fraction_digits, unit), &bytes)) {
    refuse(text, "it is more than 64 bits hold");
  }
  return bytes;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 6> kNames{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024.0;
  std::size_t name = 0;
  // 1023.995 would be printed as 1024.00.
  while (value >= 1023.995 && name + 1 < kNames.size()) {
    value /= 1024.0;
    ++name;
  }
  return fmt::format("{:.2f} {}", value, kNames[name]);
}

}  // namespace gsnake::core
