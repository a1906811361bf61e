// A whole run as `gsnake train` makes it: data, model, trainer, validation, metrics, progress, commits, signals.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "greedysnake/batch_source.h"
#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "greedysnake/unit.h"

namespace gsnake {

struct RunRequest {
  Resume resume = Resume::automatic;
  bool overwrite = false;                 // with Resume::never: over a run that is there
  std::vector<std::string> allow_change;  // keys whose change a resume accepts although it changes the maths
  std::optional<std::int64_t> from_step;  // resume from the snapshot of that step, which becomes the last commit
  // The machine profile by which steps are predicted and choices made that the config leaves "auto". Empty: the one that was measured on this
  // machine for these paths (docs/planner.md), which is measured first where there are choices to make and there is none.
  std::string machine;
  // A model of your own units; nothing: the one of the config's [model] table. Called once, when the data has been opened.
  std::function<Model()> make_model;
  // In place of the files of data.train and data.validation, which are not opened then: called once, with the config as it is run, when
  // train.micro_batches is known. The validation's batch is any number of whole micro-batches, and needs train.validate_every.
  std::function<std::unique_ptr<BatchSource>(const Config&)> make_batches;
  std::function<Batch(const Config&)> make_validation;
  // Told of each step when its line has been written, with the validation loss where there was one, on the thread that called
  // run_training(). What it throws ends the run as a failed step does.
  std::function<void(const StepResult& result, std::optional<double> validation_loss)> on_step;
  // Asked from any thread, the run ends as on a signal: after the step in hand, committed. Of several ranks, one that is asked stops all of them.
  std::stop_token stop;
  // Stop on SIGINT, SIGTERM and SIGHUP, and ignore SIGPIPE and SIGXFSZ, while this runs. False: all signals stay as the process has them.
  bool take_signals = true;
  // Where stderr is a terminal: show the progress in one line of it. Otherwise, and elsewhere, the log has a line for each step.
  bool terminal_progress = true;
  // Of several ranks: called on a thread of its own, with what went wrong, where this process hangs though another rank has failed some seconds ago. It should end the
  // process: whatever waits here waits for good. Empty: it goes on hanging.
  std::function<void(const std::string& message)> last_resort;
};

struct RunOutcome {
  int exit_status = 0;     // 0; 130, 143 or 129 when SIGINT, SIGTERM or SIGHUP stopped the run, which is then committed, or is not there yet
  bool stopped = false;    // by a signal or by RunRequest::stop, before its last step
  std::int64_t steps = 0;  // that this call trained
  std::optional<std::int64_t> step;       // the run's last; nothing: it was stopped before the run was open
  std::optional<double> loss;             // of that step; nothing: no step was trained, or it is not finite
  std::optional<double> validation_loss;  // the last that was measured
  std::string end_line;    // the last line of the metrics: JSON (docs/command.md)
};

// Trains to config.train.steps, or until a signal or request.stop; as one of several ranks where config.ranks or else torchrun's variables say so (docs/ranks.md). Throws Error: before the first step with nothing left behind; later, as anything else
// that is thrown, with the error in the metrics' last line (the steps since the last commit are lost). Of the runs that take signals
// there is one at a time in a process: SIGINT, SIGTERM and SIGHUP are its own meanwhile (unless the process ignores them), SIGPIPE and SIGXFSZ are ignored, and all are given back. Logs to where
// set_log_sink() says (log.h).
RunOutcome run_training(const Config& config, const RunRequest& request = {});

}  // namespace gsnake
