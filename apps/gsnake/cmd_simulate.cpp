#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "commands.h"
#include "io/replace_file.h"
#include "output.h"
#include "plan/prediction_json.h"
#include "planning_arguments.h"
#include "report/perfetto.h"
#include "train/planning.h"

namespace gsnake::command {
namespace {

struct Arguments {
  PlanningArguments common;
  std::string trace;
  bool alone = false;
  bool timeline = false;
};

train::PlanWish wish_of(const Arguments& arguments) {
  train::PlanWish wish;
  wish.here = arguments.common.machine.empty();
  wish.advises = false;
  return wish;
}

int run(const Arguments& arguments) {
  const Config given = load_config(arguments.common);
  const Planning planning = prepare_planning(given, arguments.common, train::Measuring::never);
  const train::PlanningBasis& basis = *planning.basis;
  const Config config = given.leaves_choices() ? train::plan_of(basis, given, wish_of(arguments)).config : given;
  const sim::PredictionOptions options = plan::prediction_options(config, arguments.timeline || !arguments.trace.empty());
  const plan::Forecast forecast = plan::forecast(config, basis.setting, basis.profile, options);
  std::vector<plan::Contender> contenders;
  std::vector<plan::BatchPoint> batches;
  if (!arguments.alone) {
    contenders = plan::side_by_side(config, basis.setting, basis.profile);
    batches = plan::over_micro_batches(config, basis.setting, basis.profile, kMostMicroBatches);
  }
  const plan::Json prediction = plan::json_of(forecast, config, basis.profile);
  if (!arguments.trace.empty()) io::replace_file(arguments.trace, report::merged_trace("", prediction.at("timeline")).dump() + "\n");
  if (arguments.common.json) {
    plan::Json json = {{"what", "simulation"}, {"config", plan::Json::parse(config.to_json())}, {"prediction", prediction}};
    if (!arguments.alone) {
      json["side_by_side"] = plan::json_of(contenders);
      json["batches"] = plan::json_of(batches);
    }
    print(json.dump(2, ' ', false, plan::Json::error_handler_t::replace) + "\n");
    return 0;
  }
  std::string text = plan::text_of(forecast, config, basis.profile);
  if (!arguments.alone) text += "\n" + plan::text_of(contenders);
  if (!arguments.trace.empty()) text += fmt::format("the trace of two steps is in {}\n", arguments.trace);
  print(text);
  return 0;
}

}  // namespace

void add_simulate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("simulate", "Walk a config's task graph through on a machine that is described by numbers; moves no data");
  add_planning_options(*command, arguments->common);
  command->add_option("--trace", arguments->trace, "write a Chrome/Perfetto trace of two steady steps")->option_text("FILE");
  command->add_flag("--timeline", arguments->timeline, "with --json: every task of two steady steps as well, which `gsnake report` draws");
  command->add_flag("--alone", arguments->alone, "leave out the other systems' orders and other numbers of micro-batches");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
