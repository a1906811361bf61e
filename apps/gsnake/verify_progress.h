// What a verification shows of itself.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>

namespace gsnake::command {

// On a terminal, ten times a second.
class VerifyProgress {
 public:
  void operator()(std::uint64_t done, std::uint64_t total);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }  // done
  [[nodiscard]] double seconds() const;                                  // since this was made

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_;
  std::uint64_t bytes_ = 0;
};

}  // namespace gsnake::command
