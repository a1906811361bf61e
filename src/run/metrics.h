// metrics.jsonl: what a run wrote about itself, one JSON object a line (docs/command.md).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/unique_fd.h"
#include "greedysnake/config.h"
#include "greedysnake/results.h"

namespace gsnake::run {

using Json = nlohmann::ordered_json;

// What a step's line says beside the trainer's own results.
struct StepContext {
  std::optional<double> validation_loss;
  std::int64_t committed_step = 0;
  std::uint64_t rss_peak_bytes = 0;
  std::optional<Rewards> validation_rewards{};
};

// What the first line of a run and the line of a resume say of it: config, machine, engine, planned memory by tier, formulas.
Json describe_run(const Config& config, const RunReport& report);

Json step_line(const StepResult& result, const Traffic& traffic, const RunReport& report, const StepContext& context);

// As many digits as tell all floats apart; null where it is not finite, which JSON can't say.
Json nine_digits(double value);

// Appends lines to a file, each with one write, so that a reader never waits for a buffer. Move-only, one thread at a time.
class MetricsFile {
 public:
  enum class Mode { fresh, append };

  // Creates the file, or empties it (fresh), or ends a line that a killed run left torn (append). Throws Error(storage).
  MetricsFile(std::string path, Mode mode);

  [[nodiscard]] bool empty() const noexcept { return empty_; }
  // Throws Error(storage), with the file as far as it was written.
  void write(const Json& line);

 private:
  void append(const std::string& text);

  core::UniqueFd fd_;
  std::string path_;
  bool empty_ = true;
};

}  // namespace gsnake::run
