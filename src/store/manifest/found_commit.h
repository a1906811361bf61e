// What a run's folders tell of its commits.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace gsnake::store {

struct FoundCommit {
  // published: a whole copy says that it counts. prepared: the process ended between the two halves. replaced: it is the one before a published
  // one, and its slot may have been overwritten since.
  enum class Standing : std::uint8_t { published, prepared, replaced };
  std::uint64_t generation = 0;
  Standing standing = Standing::published;
  nlohmann::json training;
};

}  // namespace gsnake::store
