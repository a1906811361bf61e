#include "run/run_log.h"

#include "core/log.h"
#include "greedysnake/results.h"
#include "run/machine.h"
#include "run/outputs.h"

namespace gsnake::run {
namespace {

Json event(const char* name, const Json& more) {
  Json line = {{"event", name}};
  line.update(more);
  return line;
}

}  // namespace

RunLog::RunLog(const Config& config, const RunReport& report) : report_(report), step_(report.resumed_step) {
  if (config.run.metrics.empty()) return;
  const bool resumes = report.resumed_step > 0;
  file_.emplace(output_path(config, config.run.metrics), resumes ? MetricsFile::Mode::append : MetricsFile::Mode::fresh);
  const Json run = describe_run(config, report);
  if (file_->empty()) write(event("start", run));
  if (!resumes) return;
  Json line = {{"event", "resume"}, {"step", report.resumed_step}};
  line.update(run);
  write(line);
}

void RunLog::step(const StepResult& result, const Traffic& traffic, const StepContext& context) {
  const Json line = step_line(result, traffic, report_, context);
  write(line);
  step_ = result.step;
  ++steps_here_;
  tokens_ += result.tokens;
  skipped_ += result.skipped ? 1 : 0;
  redone_ += result.redone ? 1 : 0;
  ssd_read_bytes_ += traffic.ssd_read_bytes;
  ssd_write_bytes_ += traffic.ssd_write_bytes;
  loss_ = line["loss"];
  if (context.validation_loss) validation_loss_ = line["validation_loss"];
}

Json RunLog::end(int exit_status, std::int64_t committed_step) {
  Json line = totals(exit_status);
  line["committed_step"] = committed_step;
  write(line);
  return line;
}

void RunLog::fail(const Failure& failure) noexcept {
  try {
    Json line = totals(failure.exit_status);
    line["error"] = failure.message;
    write(line);
  } catch (const std::exception& second) {
    spdlog::debug("the metrics' last line could not be written: {}", second.what());
  }
}

void RunLog::write(const Json& line) {
  if (file_) file_->write(line);
}

Json RunLog::totals(int exit_status) const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
  return {
      {"event", "end"},
      {"exit_status", exit_status},
      {"step", step_},
      {"loss", loss_},
      {"validation_loss", validation_loss_},
      {"steps", steps_here_},
      {"skipped", skipped_},
      {"redone", redone_},
      {"tokens", tokens_},
      {"seconds", nine_digits(elapsed.count())},
      {"ssd_read_bytes", ssd_read_bytes_},
      {"ssd_write_bytes", ssd_write_bytes_},
      {"rss_peak_bytes", peak_rss_bytes()},
  };
}

}  // namespace gsnake::run
