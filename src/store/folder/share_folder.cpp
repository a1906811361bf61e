#include "store/folder/share_folder.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <tuple>

#include "core/errors.h"

namespace gsnake::store {
namespace {

namespace fs = std::filesystem;

// What follows `beginning` in `name`, if it is a number as we write them.
std::optional<int> number_after(std::string_view beginning, std::string_view name) {
  if (!name.starts_with(beginning)) return std::nullopt;
  const std::string_view digits = name.substr(beginning.size());
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = error == std::errc{} && end == digits.data() + digits.size();
  return whole && number >= 0 && std::to_string(number) == digits ? std::optional(number) : std::nullopt;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    if (entry->is_directory(gone)) folders.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) core::throw_storage("list", folder.string(), error, "check its permissions");
  return folders;
}

}  // namespace

std::optional<ShareFolder> share_of(const std::string& path) {
  const fs::path folder(path);
  const std::optional<int> ranks = number_after("of-", folder.filename().string());
  const std::optional<int> rank = number_after("rank-", folder.parent_path().filename().string());
  if (!ranks || !rank || *ranks < 2 || *rank >= *ranks) return std::nullopt;
  return ShareFolder{folder.parent_path().parent_path().string(), *rank, *ranks, path};
}

std::vector<ShareFolder> share_folders_in(const std::string& base) {
  std::vector<ShareFolder> shares;
  for (const fs::path& of_rank : folders_in(base)) {
    if (!number_after("rank-", of_rank.filename().string())) continue;
    for (const fs::path& folder : folders_in(of_rank)) {
      if (std::optional<ShareFolder> share = share_of(folder.string())) shares.push_back(*std::move(share));
    }
  }
  std::sort(shares.begin(), shares.end(), [](const ShareFolder& a, const ShareFolder& b) { return std::tie(a.ranks, a.rank) < std::tie(b.ranks, b.rank); });
  return shares;
}

}  // namespace gsnake::store
