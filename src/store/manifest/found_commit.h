// What a run's folders tell of its commits.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gsnake::store {

struct FoundCommit {
  // published: a whole copy says that it counts. prepared: the process ended between the two halves. replaced: it is the one before a published
  // one, and its slot may have been overwritten since.
  enum class Standing : std::uint8_t { published, prepared, replaced };
  std::uint64_t generation = 0;
  Standing standing = Standing::published;
  std::string run_id;
  nlohmann::json storage;  // as its manifest has it
  nlohmann::json training;
};

// Of ranks that commit each step together, each in a run of its own.
struct CommonCommit {
  std::int64_t step = 0;
  std::vector<std::uint64_t> generations;  // by rank
};

// The newest commit that every rank tells of; each tells of its newest first. Nothing: there is none.
[[nodiscard]] std::optional<CommonCommit> newest_common(std::span<const std::vector<FoundCommit>> ranks);
// Where there is none, what each tells of: for people.
[[nodiscard]] std::string nothing_in_common(std::span<const std::vector<FoundCommit>> ranks);
// training["step"]; nothing where there is none.
[[nodiscard]] std::optional<std::int64_t> step_of(const nlohmann::json& training);

}  // namespace gsnake::store
