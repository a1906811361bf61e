#include <fmt/format.h>

#include <cmath>

#include "core/bytes.h"
#include "run/loss_plot.h"
#include "run/progress_line.h"
#include "run/run_summary.h"

namespace gsnake::run {
namespace {

std::string bytes(double value) { return core::format_bytes(static_cast<std::uint64_t>(std::max(value, 0.0))); }

std::string plot_of(const RunHistory& history) {
  std::vector<std::pair<double, double>> train;
  std::vector<std::pair<double, double>> validation;
  for (const StepPoint& point : history.steps) {
    train.emplace_back(point.step, point.loss);
    if (point.validation_loss) validation.emplace_back(point.step, *point.validation_loss);
  }
  const std::string plot = draw_plot(train, validation);
  return plot.empty() ? plot : fmt::format("loss by step: ⠒ training{}\n{}\n", validation.empty() ? "" : ", ◆ validation", plot);
}

std::string traffic_row(const char* name, double measured, double formula) {
  const std::string ratio = formula > 0.0 ? fmt::format("{:.3f} x the formula's {}", measured / formula, bytes(formula)) : "";
  return fmt::format("  {:<22}{:>12}  {}\n", name, bytes(measured), ratio);
}

std::string traffic_text(const RunSummary& summary) {
  return fmt::format("SSD traffic of a step (median of {} steady ones)\n", summary.steady_steps) +
         traffic_row("read", summary.ssd_read_bytes, summary.formula_ssd_read_bytes) +
         traffic_row("written", summary.ssd_write_bytes, summary.formula_ssd_write_bytes);
}

std::string memory_text(const RunSummary& summary) {
  const double allowed = summary.host_budget + summary.device_budget + summary.base_bytes;
  const double in_memory = summary.in_memory_bytes + summary.base_bytes;
  return fmt::format("memory\n  {:<22}{:>12}\n", "peak resident", bytes(summary.rss_peak_bytes)) +
         fmt::format("  {:<22}{:>12}  host budget {} + device budget {} + base {} (libraries, code)\n", "allowed", bytes(allowed),
                     bytes(summary.host_budget), bytes(summary.device_budget), bytes(summary.base_bytes)) +
         fmt::format("  {:<22}{:>12}  model, gradients, moments and activation checkpoints {} + base\n", "training in memory",
                     bytes(in_memory), bytes(summary.in_memory_bytes));
}

std::string lanes_text(const RunSummary& summary) {
  std::string text = "lanes (busy share of a step)\n";
  for (const auto& [lane, share] : summary.lane_shares) {
    if (share < 0.0005) continue;
    std::string bar;
    for (int i = 0; i < static_cast<int>(std::lround(share * 40.0)); ++i) bar += "█";
    text += fmt::format("  {:<22}{:>11.1f}%  {}\n", lane, share * 100.0, bar);
  }
  return text;
}

std::string outcome_of(const RunHistory& history) {
  if (!history.end) return "the run was killed, or still trains";
  const std::int64_t status = history.end->value("exit_status", std::int64_t{0});
  if (history.end->contains("error")) return fmt::format("it failed: {}", history.end->value("error", std::string()));
  return status == 0 ? "it ran to its end" : "it was stopped by a signal and can be resumed";
}

}  // namespace

std::string to_text(const RunSummary& summary, const RunHistory& history) {
  std::string text = plot_of(history);
  const std::string validation = summary.validation_loss ? fmt::format(", validation {:.4f}", *summary.validation_loss) : "";
  text += fmt::format("step {}: loss {:.4f} (from {:.4f}){}; {}\n", summary.last_step, summary.last_loss, summary.first_loss, validation,
                      outcome_of(history));
  text += fmt::format("{:.0f} ms a step, {} tokens/s\n\n", summary.step_ms, format_count(summary.tokens_per_second));
  text += traffic_text(summary) + "\n" + memory_text(summary) + "\n" + lanes_text(summary);
  if (history.unreadable_lines > 0)
    text += fmt::format("\n{} torn lines were passed over, as a killed run leaves them\n", history.unreadable_lines);
  return text;
}

}  // namespace gsnake::run
