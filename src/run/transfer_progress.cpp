#include "run/transfer_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "core/bytes.h"
#include "core/log.h"
#include "run/progress_line.h"

namespace gsnake::run {
namespace {

constexpr std::chrono::milliseconds kPause{200};
constexpr std::uint64_t kWorthALine = 1ULL << 30;

std::string text(const std::string& what, std::uint64_t done, std::uint64_t total, double seconds) {
  const double rate = seconds > 0.0 ? static_cast<double>(done) / seconds : 0.0;
  const double left = rate > 0.0 ? static_cast<double>(total - done) / rate : 0.0;
  return fmt::format("{}: {} of {}, {}/s, {} left", what, core::format_bytes(done), core::format_bytes(total),
                     core::format_bytes(static_cast<std::uint64_t>(rate)), format_duration(left));
}

}  // namespace

TransferProgress::TransferProgress(bool may_use_terminal) : terminal_(may_use_terminal && ::isatty(STDERR_FILENO) == 1) {}

void TransferProgress::tell(const std::string& what, std::uint64_t done, std::uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (begin_ == std::chrono::steady_clock::time_point{}) begin_ = now;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  if (terminal_) {
    if (!spdlog::should_log(spdlog::level::info) || (done < total && now - shown_at_ < kPause)) return;
    std::fprintf(stderr, "\r\x1b[K%s", text(what, done, total, seconds).c_str());
    std::fflush(stderr);
    shown_ = true;
    shown_at_ = now;
    return;
  }
  if (total < kWorthALine || done * 10 / total == tenths_) return;
  tenths_ = done * 10 / total;
  spdlog::info("{}", text(what, done, total, seconds));
}

void TransferProgress::end_line() noexcept {
  if (!shown_) return;
  std::fputc('\n', stderr);
  shown_ = false;
}

}  // namespace gsnake::run
