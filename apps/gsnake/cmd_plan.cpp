#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "choice_option.h"
#include "commands.h"
#include "config/to_toml.h"
#include "core/bytes.h"
#include "io/replace_file.h"
#include "output.h"
#include "plan/prediction_json.h"
#include "planning_arguments.h"
#include "train/planning.h"

namespace gsnake::command {
namespace {

using plan::Json;

struct Arguments {
  PlanningArguments common;
  std::string save_machine;
  std::string write;
  bool measure = false;
  bool least_wear = false;
  bool timeline = false;
  std::int64_t tokens = 0;
};

Json json_of(const plan::Plan& plan, const sim::MachineProfile& profile) {
  Json choices = Json::array();
  for (const plan::Choice& choice : plan.choices) choices.push_back({{"key", choice.key}, {"value", choice.value}, {"changes_maths", choice.maths}});
  Json buys = Json::array();
  for (const plan::Purchase& purchase : plan.purchases) buys.push_back({{"what", purchase.what}, {"step_ms", 1e3 * purchase.step_seconds}, {"gain_percent", 100.0 * purchase.gain}});
  return {{"what", "plan"},
          {"config", Json::parse(plan.config.to_json())},
          {"choices", std::move(choices)},
          {"prediction", plan::json_of(plan.forecast, plan.config, profile)},
          {"binds", schedule::kLaneNames[static_cast<std::size_t>(plan.forecast.prediction.binds())]},
          {"buys", std::move(buys)},
          {"saturation", plan.saturation ? plan::json_of(*plan.saturation) : Json()},
          {"batches", plan::json_of(plan.batches)},
          {"considered", plan.considered}};
}

std::string text_of(const plan::Plan& plan, const sim::MachineProfile& profile) {
  std::string text;
  for (const plan::Choice& choice : plan.choices) text += fmt::format("{} = {}{}\n", choice.key, choice.value, choice.maths ? "  (part of the maths)" : "");
  text += fmt::format("{}of {} plans that were simulated\n\n", plan.choices.empty() ? "nothing was left to choose; " : "", plan.considered);
  text += plan::text_of(plan.forecast, plan.config, profile);
  if (!plan.purchases.empty()) text += "\nwhat more would buy:\n";
  for (const plan::Purchase& purchase : plan.purchases) text += fmt::format("  {:<40} {:+.1f}% tokens/s\n", purchase.what, 100.0 * purchase.gain);
  if (!plan.batches.empty()) text += plan.config.ranks.count > 1 ? "\nmicro-batches of all ranks and tokens/s:" : "\nmicro-batches and tokens/s:";
  for (const plan::BatchPoint& point : plan.batches) text += fmt::format("  {}: {:.0f}", point.micro_batches, point.tokens_per_second());
  if (!plan.batches.empty()) text += "\n";
  if (plan.saturation) {
    text += fmt::format("saturation: {} micro-batches ({:.0f} tokens a step) come to within 5% of the best of these\n", plan.saturation->micro_batches, plan.saturation->tokens);
  }
  return text;
}

int run(const Arguments& arguments) {
  const Config config = load_config(arguments.common);
  const bool measures = arguments.common.machine.empty();
  const Planning planning = prepare_planning(config, arguments.common, !measures ? train::Measuring::never : arguments.measure ? train::Measuring::anew : train::Measuring::if_missing);
  const train::PlanningBasis& basis = *planning.basis;
  if (!arguments.save_machine.empty()) {
    sim::save_profile(basis.profile, arguments.save_machine);
    spdlog::info("the machine's profile is in {}", arguments.save_machine);
  }
  train::PlanWish wish;
  wish.here = measures;
  wish.tokens_a_step = arguments.tokens;
  wish.goal = arguments.least_wear ? plan::Goal::least_wear : plan::Goal::throughput;
  plan::Plan plan = train::plan_of(basis, config, wish);
  if (arguments.timeline) {
    plan.forecast = plan::forecast(plan.config, basis.setting, basis.profile, plan::prediction_options(plan.config, true));
  }
  if (!arguments.write.empty()) {
    io::replace_file(arguments.write, "# Made by `gsnake plan`.\n" + config::to_toml(plan.config));
    spdlog::info("the config with all choices made is in {}", arguments.write);
  }
  print(arguments.common.json ? json_of(plan, basis.profile).dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text_of(plan, basis.profile));
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("plan", "Choose what a config leaves \"auto\", and say what its steps will take and why");
  add_planning_options(*command, arguments->common);
  command->add_option("--tokens", arguments->tokens, "with train.micro_batches = \"auto\": at least so many a step; default: what saturates the machine")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command->add_flag("--least-wear", arguments->least_wear, "prefer what writes least to SSD to what is fastest");
  command->add_flag("--measure", arguments->measure, "measure this machine again (under a minute), though it was measured before");
  command->add_option("--seconds", arguments->common.seconds, "that measuring should take, in all")->check(CLI::Range(1.0, 60.0))->capture_default_str();
  command->add_option("--save-machine", arguments->save_machine, "write the machine's profile there")->option_text("FILE");
  command->add_option("--write", arguments->write, "write the config with all choices made there")->option_text("FILE");
  command->add_flag("--timeline", arguments->timeline, "with --json: every task of two steady steps as well, which `gsnake report` draws");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
