// How far an import or export is: one line that is rewritten on a terminal, elsewhere a line of the log for every tenth.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gsnake::run {

class TransferProgress {
 public:
  explicit TransferProgress(bool may_use_terminal = true);
  ~TransferProgress() { end_line(); }
  TransferProgress(const TransferProgress&) = delete;
  TransferProgress& operator=(const TransferProgress&) = delete;

  // `what`: "importing", "exporting". The clock starts with the first call.
  void tell(const std::string& what, std::uint64_t done, std::uint64_t total);
  void end_line() noexcept;

 private:
  bool terminal_;
  bool shown_ = false;
  std::uint64_t tenths_ = 0;
  std::chrono::steady_clock::time_point begin_{};
  std::chrono::steady_clock::time_point shown_at_{};
};

}  // namespace gsnake::run
