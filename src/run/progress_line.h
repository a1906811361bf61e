// What a person sees of a run while it trains.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gsnake {
struct Config;
struct Prediction;
struct RunReport;
struct StepResult;
struct Traffic;
}  // namespace gsnake

namespace gsnake::run {

// "45 s", "12:05" (minutes and seconds), "3:20:00".
std::string format_duration(double seconds);
// Three digits and a unit: "850", "12.3k", "1.20M".
std::string format_count(double value);

// What a run settled on, a line each: model, engine, delay, memory by tier.
std::vector<std::string> start_text(const Config& config, const RunReport& report);

// "step 3/100: 1230 of 2720 tasks, 0:45 left": of what is waited for; the time where it is known.
std::string advance_text(const std::string& what, std::int64_t done, std::int64_t all, std::optional<double> seconds_left);

// Text of a step: number, loss, of preference pairs their rewards' accuracy and margin, tokens/s, share of the step in which each lane had work
// (lanes without any are left out), the lane that binds where that was predicted, time left.
std::string progress_text(const StepResult& result, const Traffic& traffic, std::int64_t steps, std::optional<double> validation_loss,
                          double seconds_left, const Prediction& prediction);

// A terminal on stderr gets one line that is rewritten; anything else gets one log line a step. One thread.
class ProgressLine {
 public:
  ProgressLine(std::int64_t steps, const Prediction& prediction, bool may_use_terminal);  // borrowed
  ~ProgressLine() { end_line(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void step(const StepResult& result, const Traffic& traffic, std::optional<double> validation_loss);
  // Where a step stands that takes long: on the terminal's line, which the next step's replaces, or a line of the log.
  void show(const std::string& text);
  [[nodiscard]] bool on_terminal() const noexcept { return terminal_; }
  // Ends the line on the terminal, before anything else is written there.
  void end_line() noexcept;

 private:
  [[nodiscard]] double seconds_left(const StepResult& result);
  void rewrite(const std::string& text);

  std::int64_t steps_;
  const Prediction& prediction_;
  bool terminal_;
  bool shown_ = false;
  double mean_step_ms_ = 0.0;              // over the last steps, more recent ones weighing more
  std::optional<double> last_validation_;  // the terminal's one line goes on showing it
};

}  // namespace gsnake::run
