#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/rank_folders.h"
#include "checkpoint/run_state.h"
#include "choice_option.h"
#include "commands.h"
#include "config/load.h"
#include "core/log.h"
#include "greedysnake/config.h"
#include "greedysnake/error.h"
#include "greedysnake/ranks.h"
#include "greedysnake/run.h"
#include "output.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  RunRequest request;
  bool automatic = false;
  bool json = false;
};

std::string describe(const RunOutcome& end, const Config& config) {
  if (!end.step) return "no step was trained";  // stopped before the run was open
  if (end.steps == 0) return fmt::format("step {} of {}: no step was trained", *end.step, config.train.steps);
  const std::string loss = end.loss ? fmt::format("{:.4f}", *end.loss) : "none";
  const std::string validation = end.validation_loss ? fmt::format(", validation {:.4f} (perplexity {:.4g})", *end.validation_loss, std::exp(*end.validation_loss)) : "";
  return fmt::format("step {} of {}: loss {}{}; committed in {}", *end.step, config.train.steps, loss, validation, config.run.dir);
}

// A run's config need not repeat the run's model; an imported one's would be copied from its folder by hand.
std::optional<ModelConfig> model_of_run(const Config& config, Resume resume) {
  if (!checkpoint::holds_run(config.run.dir, config.ssd.paths, resume == Resume::must)) return std::nullopt;
  const std::optional<nlohmann::json> training = checkpoint::any_training(config.run.dir, config.ssd.paths);
  return training ? std::optional(checkpoint::parse_config(checkpoint::config_from(*training)).model) : std::nullopt;
}

int run(const Arguments& arguments) {
  const Resume resume = arguments.request.resume;
  config::ModelOfRun of_run;
  if (resume != Resume::never) of_run = [resume](const Config& config) { return model_of_run(config, resume); };
  const Config config = config::load(arguments.config, arguments.overrides, of_run, arguments.automatic ? Config::automatic() : Config());
  RunRequest request = arguments.request;
  request.last_resort = [](const std::string& message) {
    spdlog::critical("{}", message);
    std::_Exit(static_cast<int>(ErrorKind::rank));
  };
  const RunOutcome outcome = run_training(config, request);
  if (ranks_of_environment(config.ranks).rank > 0) return outcome.exit_status;  // the first one says it for all
  try {
    print((arguments.json ? outcome.end_line : describe(outcome, config)) + "\n");
  } catch (const ReaderGone&) {  // Ctrl-C has ended the `tee` behind it: what counts is committed
  }
  return outcome.exit_status;
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a config file says");
  command->add_option("CONFIG", arguments->config, "config file (TOML; docs/config.md)")->required();
  command->add_option("--set", arguments->overrides, "change a key of the config for this run: train.steps=10 (can be repeated)")
      ->option_text("KEY=VALUE ...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_choice(*command, "--resume", arguments->request.resume, "go on from the commit in run.dir: auto (if there is one), never, must");
  command->add_option("--resume-from", arguments->request.from_step, "go back to the snapshot of this step, which becomes the last commit")->option_text("STEP");
  command->add_flag("--overwrite", arguments->request.overwrite, "with --resume never: replace the run that is in run.dir");
  command
      ->add_option("--allow-change", arguments->request.allow_change,
                   "let a resume change this key although it changes the maths (can be repeated)")
      ->option_text("KEY ...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--auto", arguments->automatic, "let the planner choose the placements, the delay and the budgets that the config leaves out (docs/planner.md)");
  command->add_option("--machine", arguments->request.machine, "predict and plan on this machine profile, not on what was measured here")->option_text("PROFILE");
  command->add_flag("--json", arguments->json, "print the result as JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
