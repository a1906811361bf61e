// Where blocks lie in a stretch of bytes: first fit, neighbours joined. Offsets alone, so that a dry run can count on memory that is not
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace gsnake::memory {

// One thread at a time.
class Room {
 public:
  static constexpr std::uint64_t kEndless = std::numeric_limits<std::uint64_t>::max() / 2;

  explicit Room(std::uint64_t bytes = kEndless);

  // The lowest offset with `bytes` (above 0) free from there on; nothing where there is none. The same calls give the same offsets.
  [[nodiscard]] std::optional<std::uint64_t> try_take(std::uint64_t bytes);
  // What one try_take() gave, whole. Allocates nothing.
  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept;

  [[nodiscard]] std::uint64_t blocks() const noexcept { return blocks_; }  // taken now
  [[nodiscard]] std::uint64_t extent() const noexcept { return extent_; }  // the end of the highest block that there was

 private:
  struct Gap {
    std::uint64_t begin;
    std::uint64_t end;
  };

  std::vector<Gap> gaps_;  // by offset; no two touch. Its capacity is above blocks_ + 1, which is the most gaps that there can be.
  std::uint64_t blocks_ = 0;
  std::uint64_t extent_ = 0;
};

}  // namespace gsnake::memory
