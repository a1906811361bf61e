// The lines that a run writes to its metrics, from the first to the last.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "run/failure.h"
#include "run/metrics.h"

namespace gsnake::run {

class RunLog {
 public:
  // Opens run.metrics in run.dir (none where it is "") and writes the run's first line, or that of a resume. `report` is borrowed.
  // Throws Error(storage).
  RunLog(const Config& config, const RunReport& report);

  void step(const StepResult& result, const Traffic& traffic, const StepContext& context);
  // Returns the last line, which it has written: totals of this process.
  Json end(int exit_status, std::int64_t committed_step);
  // The last line of a run that failed. Whatever goes wrong here is no news: the failure is what the user has to hear of.
  void fail(const Failure& failure) noexcept;

 private:
  void write(const Json& line);
  [[nodiscard]] Json totals(int exit_status) const;

  const RunReport& report_;
  std::optional<MetricsFile> file_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::int64_t step_;
  std::int64_t steps_here_ = 0;
  std::int64_t skipped_ = 0;
  std::int64_t redone_ = 0;
  std::int64_t tokens_ = 0;
  std::uint64_t ssd_read_bytes_ = 0;
  std::uint64_t ssd_write_bytes_ = 0;
  Json loss_;
  Json validation_loss_;
};

}  // namespace gsnake::run
