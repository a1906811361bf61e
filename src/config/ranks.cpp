#include "greedysnake/ranks.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "core/local_rank.h"
#include "greedysnake/error.h"

namespace gsnake {
namespace {

std::optional<int> variable(const char* name, int least, int most) {
  const char* set = std::getenv(name);
  if (set == nullptr || *set == '\0') return std::nullopt;
  const std::string_view text = set;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    throw Error(ErrorKind::usage, fmt::format("{} = {}: must be an integer in {}..{}; start every rank with torchrun's variables (docs/ranks.md)", name, text, least, most));
  }
  return value;
}

constexpr int kMostRanks = 1 << 16;

}  // namespace

RanksConfig ranks_of_environment(RanksConfig config) {
  const std::optional<int> count = variable("WORLD_SIZE", 1, kMostRanks);
  if (!count) return config;
  config.count = *count;
  const std::optional<int> rank = variable("RANK", 0, *count - 1);
  if (!rank && *count > 1) throw Error(ErrorKind::usage, fmt::format("WORLD_SIZE = {}, but RANK is not set: which of them is this process? (docs/ranks.md)", *count));
  config.rank = rank.value_or(0);
  config.local_count = variable("LOCAL_WORLD_SIZE", 1, *count).value_or(*count);
  config.local_rank = variable("LOCAL_RANK", 0, config.local_count - 1).value_or(config.rank % config.local_count);
  return config;
}

std::string folder_of_rank(const std::string& path, int rank, int count, int local_rank) {
  std::string folder = core::with_local_rank(path, local_rank);
  if (count == 1) return folder;
  return (std::filesystem::path(folder) / fmt::format("rank-{}", rank) / fmt::format("of-{}", count)).string();
}

std::string own_folder(const std::string& path, const RanksConfig& ranks) { return folder_of_rank(path, ranks.rank, ranks.count, ranks.local_rank); }

}  // namespace gsnake
