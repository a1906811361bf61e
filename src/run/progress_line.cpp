#include "run/progress_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/bytes.h"
#include "core/log.h"
#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "run/pace_watch.h"

namespace gsnake::run {
namespace {

constexpr double kNewStepWeight = 0.1;  // in the mean step time: about the last ten steps count
constexpr double kLeastShare = 0.005;   // a lane with less is not worth a word

std::string lane_shares(const StepResult& result, const Traffic& traffic) {
  std::string text;
  for (int lane = 0; lane < kLanes; ++lane) {
    const double share = result.step_ms > 0.0 ? traffic.busy_ms[static_cast<std::size_t>(lane)] / result.step_ms : 0.0;
    // Work of a step's interval may have begun before it: a lane is never busier than always.
    if (share >= kLeastShare) text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : " ", lane_name(lane), std::min(share, 1.0) * 100.0);
  }
  return text;
}

void append_tier(std::vector<std::string>& lines, const char* tier, std::uint64_t charged, std::uint64_t budget, const RunReport& report) {
  lines.push_back(fmt::format("{} memory: {} of {}", tier, core::format_bytes(charged), core::format_bytes(budget)));
  for (const MemoryItem& item : report.memory) {
    if (item.tier == tier) lines.push_back(fmt::format("  {:<34} {:>12}  {}", item.name, core::format_bytes(item.bytes), item.detail));
  }
}

std::string commits_text(const RunConfig& run) {
  if (run.durability == Durability::off) return "commits only at the end and on SIGINT, SIGTERM or SIGHUP: a kill loses the run (run.durability = \"off\")";
  return run.commit_every == 1 ? "commits every step" : fmt::format("commits every {} steps", run.commit_every);
}

std::size_t terminal_columns() {
  struct winsize size {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::lround(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string format_count(double value) {
  constexpr std::array kUnits{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, decimals, kUnits[unit]);
}

std::vector<std::string> start_text(const Config& config, const RunReport& report) {
  const TrainConfig& train = config.train;
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{} parameters; {} x {} x {} tokens a step; training in memory would hold {}",
                              format_count(static_cast<double>(report.parameters)), train.micro_batches, train.micro_batch_size,
                              train.sequence_length, core::format_bytes(report.in_memory_bytes)));
  if (report.trained_parameters < report.parameters) lines.push_back(fmt::format("{} of them are trained", format_count(static_cast<double>(report.trained_parameters))));
  if (!report.base.empty()) lines.push_back(fmt::format("base {}: read, never written", report.base));
  lines.push_back(fmt::format("schedule {}, order {}, delay {:.4g}; computes in {} on {} threads", word_of(train.schedule), report.order, report.delay,
                              report.compute_dtype, report.compute_threads));
  lines.push_back(report.formats);
  if (!report.guard.empty()) lines.push_back(report.guard);
  lines.push_back(fmt::format("I/O by {}; {}", report.io_reason,
                              report.direct_io ? "O_DIRECT" : fmt::format("through the page cache ({})", report.buffered_reason)));
  for (const SsdPathUse& use : report.ssd_paths) lines.push_back(fmt::format("SSD {}: {} preallocated", use.path, core::format_bytes(use.bytes)));
  append_tier(lines, "host", report.host_bytes, config.memory.host_budget, report);
  append_tier(lines, "device", report.device_bytes, config.memory.device_budget, report);
  lines.push_back(fmt::format("libraries and code beside the budgets: {}", core::format_bytes(report.base_bytes)));
  for (const std::string& choice : report.choices) lines.push_back(fmt::format("chosen: {}", choice));
  const Prediction& prediction = report.prediction;
  if (!prediction.machine.empty()) lines.push_back(fmt::format("predicted on \"{}\": {:.1f} ms a step", prediction.machine, prediction.step_ms.back()));
  if (report.resumed_step > 0) lines.push_back(fmt::format("going on from step {}", report.resumed_step));
  lines.push_back(commits_text(config.run));
  return lines;
}

std::string progress_text(const StepResult& result, const Traffic& traffic, std::int64_t steps, std::optional<double> validation_loss,
                          double seconds_left, const Prediction& prediction) {
  const std::string binding = binding_text(prediction, result.step_ms);
  const auto loss_text = [](double loss) { return std::isnan(loss) ? std::string("none") : fmt::format("{:.4f}", loss); };
  const std::string validation = validation_loss ? fmt::format(" (validation {})", loss_text(*validation_loss)) : "";
  const std::string rewards = result.rewards ? fmt::format("  accuracy {:.2f} margin {:.4f}", result.rewards->accuracy, result.rewards->margin) : "";
  return fmt::format("step {}/{}  loss {}{}{}  {} tokens/s  {}{}{}  {} left", result.step, steps, loss_text(result.loss), validation, rewards,
                     format_count(result.tokens_per_second), lane_shares(result, traffic), binding.empty() ? "" : "; ", binding, format_duration(seconds_left));
}

std::string advance_text(const std::string& what, std::int64_t done, std::int64_t all, std::optional<double> seconds_left) {
  return fmt::format("{}: {} of {} tasks{}", what, done, all, seconds_left ? ", " + format_duration(*seconds_left) + " left" : "");
}

ProgressLine::ProgressLine(std::int64_t steps, const Prediction& prediction, bool may_use_terminal)
    : steps_(steps), prediction_(prediction), terminal_(may_use_terminal && ::isatty(STDERR_FILENO) == 1) {}

double ProgressLine::seconds_left(const StepResult& result) {
  mean_step_ms_ = mean_step_ms_ == 0.0 ? result.step_ms : mean_step_ms_ + kNewStepWeight * (result.step_ms - mean_step_ms_);
  return static_cast<double>(steps_ - result.step) * mean_step_ms_ / 1e3;
}

void ProgressLine::step(const StepResult& result, const Traffic& traffic, std::optional<double> validation_loss) {
  if (validation_loss) last_validation_ = validation_loss;
  const double left = seconds_left(result);
  if (!terminal_) {
    spdlog::info("{}", progress_text(result, traffic, steps_, validation_loss, left, prediction_));
    return;
  }
  rewrite(progress_text(result, traffic, steps_, last_validation_, left, prediction_));
}

void ProgressLine::show(const std::string& text) {
  if (terminal_) {
    rewrite(text);
  } else {
    spdlog::info("{}", text);
  }
}

void ProgressLine::rewrite(const std::string& text) {
  if (!spdlog::should_log(spdlog::level::info)) return;
  // One column less than there are: some terminals wrap when the last one is filled.
  std::fprintf(stderr, "\r\x1b[K%s", text.substr(0, terminal_columns() - 1).c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::end_line() noexcept {
  if (!shown_) return;
  std::fputc('\n', stderr);
  shown_ = false;
}

}  // namespace gsnake::run
