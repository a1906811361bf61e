#include "verify_progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "core/bytes.h"

namespace gsnake::command {

void VerifyProgress::operator()(std::uint64_t done, std::uint64_t total) {
  bytes_ = done;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || (done < total && now - shown_ < std::chrono::milliseconds(100))) return;
  shown_ = now;
  std::fputs(fmt::format("\rverifying: {} of {}\x1b[K{}", core::format_bytes(done), core::format_bytes(total), done == total ? "\n" : "").c_str(), stderr);
}

double VerifyProgress::seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

}  // namespace gsnake::command
