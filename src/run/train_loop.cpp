#include "run/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <string>
#include <utility>

#include "core/log.h"
#include "run/all_ranks.h"
#include "run/failure.h"
#include "run/heartbeat.h"
#include "run/long_wait.h"
#include "run/machine.h"
#include "run/outputs.h"
#include "run/pace_watch.h"
#include "run/progress_line.h"
#include "run/run_log.h"

namespace gsnake::run {
namespace {

constexpr std::chrono::milliseconds kLookEvery{1000};  // at what is waited for

class TrainLoop {
 public:
  TrainLoop(const Config& config, const RunRequest& request, RunData& data, Trainer& trainer, const StopRequests& stops, dist::RankGroup* group)
      : config_(config),
        request_(request),
        data_(data),
        trainer_(trainer),
        stops_(stops),
        all_ranks_(group),
        log_(config, trainer.report()),
        progress_(config.train.steps, trainer.report().prediction, request.terminal_progress),
        pace_(trainer.report().prediction),
        long_wait_({.tell_after = progress_.on_terminal() ? 0.0 : WaitPace().tell_after}),
        heartbeat_([this](double waited_seconds) { look_at_wait(waited_seconds); }, {kLookEvery, kLookEvery}) {}

  RunOutcome run() {
    try {
      begin();
      // Before the first step there is nothing to commit that is not on SSD already.
      look_for_stop();
      if (submitted_ < config_.train.steps && stop_ == 0) train();
    } catch (...) {
      progress_.end_line();
      log_.fail(current_failure());
      throw;
    }
    progress_.end_line();
    const int reason = trainer_.completed_steps() >= config_.train.steps ? 0 : stop_;
    RunOutcome outcome = outcome_of(log_.end(exit_status_of_stop(reason), trainer_.committed_step()));
    outcome.stopped = reason != 0;
    return outcome;
  }

 private:
  void begin() {
    data_.seek(trainer_.data_position());
    submitted_ = trainer_.completed_steps();
    for (const std::string& line : start_text(config_, trainer_.report())) spdlog::info("{}", line);
    const double most = static_cast<double>(config_.train.steps) * static_cast<double>(config_.train.micro_batches) * static_cast<double>(config_.train.micro_batch_size);
    const auto rows = static_cast<std::uint64_t>(std::min(most, 1e18));
    for (const std::string& line : data_.describe(rows)) spdlog::info("data: {}", line);
  }

  // Keeps one step ahead of the one that is waited for, so that its reads begin while the other's last writes run.
  void train() {
    for (bool more = true; more;) {
      if (in_flight() == 0) submit();
      if (may_run_ahead()) submit();
      StepResult result = wait();
      look_for_stop();
      const bool stop = stop_ != 0;
      more = in_flight() > 0 || (submitted_ < config_.train.steps && !stop);
      finish(result, !more, stop);
    }
  }

  // All ranks stop after the same step.
  void look_for_stop() { stop_ = all_ranks_.reason_to_stop(stops_.requested()); }

  [[nodiscard]] std::int64_t in_flight() const { return submitted_ - trainer_.completed_steps(); }

  // Validation needs the step before it to be over and none to be on its way.
  [[nodiscard]] bool validates_after(std::int64_t step) const {
    return data_.validates() && (step % config_.train.validate_every == 0 || step == config_.train.steps);
  }
  [[nodiscard]] bool may_run_ahead() const {
    return submitted_ < config_.train.steps && !validates_after(submitted_) && stop_ == 0;
  }

  void submit() {
    if (!config_.run.trace.empty() && submitted_ + 1 == config_.run.trace_first) {
      trainer_.record_trace();
      recording_ = true;
    }
    data_.next(batch_);
    trainer_.set_data_position(data_.position());
    waits_for_ = step_text(trainer_.completed_steps() + 1);
    const Heartbeat::Wait waiting(heartbeat_);
    trainer_.submit(batch_);
    ++submitted_;
  }

  // A step that ends the run has its line as well.
  StepResult wait() {
    try {
      waits_for_ = step_text(trainer_.completed_steps() + 1);
      const Heartbeat::Wait waiting(heartbeat_);
      return trainer_.wait();
    } catch (const NonFiniteError& error) {
      report_last(error.result(), std::nullopt);
      throw;
    }
  }

  // Of a step that went wrong at this rank, which has said so already.
  void report_last(StepResult result, std::optional<double> validation_loss) {
    all_ranks_ = AllRanks(nullptr);
    report(result, validation_loss);
  }

  // Where the run is to stop, validation would only delay the end.
  [[nodiscard]] bool validates_now(std::int64_t step, bool stopping) const {
    return validates_after(step) && in_flight() == 0 && (!stopping || step == config_.train.steps);
  }

  // What follows a step before its line is written: the line's bytes are those of everything since the line before.
  void finish(StepResult& result, bool last, bool stopping) {
    std::optional<double> validation_loss;
    try {
      if (validates_now(result.step, stopping)) validation_loss = validate();
      if (last) commit(stopping);
    } catch (const NonFiniteError&) {  // in the part of the update that these complete
      report_last(result, validation_loss);
      throw;
    }
    // A step's last writes run on after its results are known: the next step's results tell that they are over.
    if (recording_ && (last || result.step > config_.run.trace_last)) write_trace();
    report(result, validation_loss);
  }

  void report(StepResult& result, std::optional<double> validation_loss) {
    Traffic traffic = trainer_.take_traffic();
    std::uint64_t rss_peak = peak_rss_bytes();
    all_ranks_.sum_up(result, traffic, rss_peak);
    if (result.tokens == 0) warn_once(says_no_tokens_, fmt::format("step {} counts no token: it has no loss, and a gradient of 0", result.step));
    log_.step(result, traffic, {validation_loss, trainer_.committed_step(), rss_peak, validation_loss ? trainer_.validation_rewards() : std::nullopt});
    progress_.step(result, traffic, validation_loss);
    // The pipeline fills in the first steps, and again after a validation.
    const bool after_validation = std::exchange(after_validation_, validation_loss.has_value());
    const bool steady = result.step - trainer_.report().resumed_step > 2 && !validation_loss && !after_validation;
    if (const auto slow = steady ? pace_.look(result) : std::nullopt) {
      progress_.end_line();
      spdlog::warn("{}", *slow);
    }
    long_wait_.told(LongWait::Time::clock::now());
    if (request_.on_step) request_.on_step(result, validation_loss);
  }

  double validate() {
    Batch all;
    data_.validation(all);
    const bool counts = std::any_of(all.labels.begin(), all.labels.end(), [](std::int64_t label) { return label != kIgnoredLabel; });
    if (!counts) warn_once(says_no_validation_, "the loss counts no token of the validation's: it has none");
    waits_for_ = "validation after " + step_text(trainer_.completed_steps());
    const Heartbeat::Wait waiting(heartbeat_);
    return trainer_.validate(all);
  }

  void commit(bool stopping) {
    if (stopping) {
      progress_.end_line();
      const bool asked = stop_ == kAskedToStop;
      spdlog::info("stopping {}: committing step {}{}", asked ? "as asked" : "on a signal", trainer_.completed_steps(), asked ? "" : " (a second signal ends the process at once)");
    }
    waits_for_ = "committing " + step_text(trainer_.completed_steps());
    const Heartbeat::Wait waiting(heartbeat_);
    trainer_.commit();
  }

  void write_trace() {
    recording_ = false;
    const std::string path = output_path(config_, config_.run.trace);
    {
      waits_for_ = "writing the trace";
      const Heartbeat::Wait waiting(heartbeat_);
      trainer_.write_trace(path);
    }
    progress_.end_line();
    spdlog::info("the trace of steps {} to {} is in {}", config_.run.trace_first,
                 std::min(config_.run.trace_last, trainer_.completed_steps()), path);
  }

  void warn_once(bool& said, const std::string& text) {
    if (std::exchange(said, true)) return;
    progress_.end_line();
    spdlog::warn("{}", text);
  }

  [[nodiscard]] std::string step_text(std::int64_t step) const { return fmt::format("step {}/{}", step, config_.train.steps); }

  // On the heartbeat's thread, while this one waits.
  void look_at_wait(double waited_seconds) {
    const AwaitedWork work = trainer_.awaited();
    const LongWait::Time now = LongWait::Time::clock::now();
    const LongWait::Time began = now - std::chrono::milliseconds(std::llround(waited_seconds * 1e3));
    if (began - wait_began_ > kLookEvery / 2) long_wait_.begin(now, work);
    wait_began_ = std::max(wait_began_, began);
    switch (long_wait_.look(now, work)) {
      case LongWait::Say::nothing: return;
      case LongWait::Say::progress: return progress_.show(advance_text(waits_for_, work.tasks_done, work.tasks, long_wait_.seconds_left(now, work)));
      case LongWait::Say::warning: return warn_of_wait(waited_seconds);
    }
  }

  void warn_of_wait(double waited_seconds) {
    const std::string slowest = trainer_.slowest();
    progress_.end_line();
    spdlog::warn("waiting for {:.0f} s; {}", waited_seconds,
                 slowest.empty() ? "no lane has a task in hand" : "longest in hand is " + slowest);
  }

  const Config& config_;
  const RunRequest& request_;
  RunData& data_;
  Trainer& trainer_;
  const StopRequests& stops_;
  AllRanks all_ranks_;
  int stop_ = 0;  // why the ranks stop
  RunLog log_;
  ProgressLine progress_;
  PaceWatch pace_;
  std::int64_t submitted_ = 0;  // steps, in the run's numbering
  bool recording_ = false;
  bool after_validation_ = false;
  bool says_no_validation_ = false;
  bool says_no_tokens_ = false;
  Batch batch_;
  std::string waits_for_;
  LongWait::Time wait_began_{};  // of the wait that was last looked at
  LongWait long_wait_;
  Heartbeat heartbeat_;  // last: its thread uses the others
};

}  // namespace

RunOutcome outcome_of(const Json& end) {
  const auto number = [&](const char* key) { return end[key].is_number() ? std::optional(end[key].get<double>()) : std::nullopt; };
  RunOutcome outcome;
  outcome.exit_status = end["exit_status"];
  outcome.steps = end["steps"];
  outcome.loss = number("loss");
  outcome.validation_loss = number("validation_loss");
  if (end["step"].is_number()) outcome.step = end["step"].get<std::int64_t>();
  outcome.end_line = end.dump(-1, ' ', false, Json::error_handler_t::replace);
  return outcome;
}

RunOutcome train_to_the_end(const Config& config, const RunRequest& request, RunData& data, Trainer& trainer, const StopRequests& stops, dist::RankGroup* group) {
  return TrainLoop(config, request, data, trainer, stops, group).run();
}

}  // namespace gsnake::run
