#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "core/bytes.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/model_config.h"
#include "output.h"
#include "transfer.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string from;
  std::string run_dir;
  std::string config;
  std::vector<std::string> overrides;
  bool overwrite = false;
  bool json = false;
};

// Text as TOML has it.
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// Without a config: the state lies in the run directory, and what a later `train` may set is as in an empty config.
Config config_of(const Arguments& arguments) {
  std::vector<std::string> settings{"model.from=" + quoted(arguments.from), "run.dir=" + quoted(arguments.run_dir)};
  if (!arguments.config.empty()) {
    settings.insert(settings.end(), arguments.overrides.begin(), arguments.overrides.end());
    return Config::load(arguments.config, settings);
  }
  const std::int64_t context = hf::read_model_config(arguments.from).context;
  const std::int64_t usual = TrainConfig{}.sequence_length;
  settings.push_back("ssd.paths=[" + quoted((std::filesystem::path(arguments.run_dir) / "ssd").string()) + "]");
  settings.push_back("train.sequence_length=" + std::to_string(std::min(context, usual)));
  settings.insert(settings.end(), arguments.overrides.begin(), arguments.overrides.end());
  return Config::parse("", ".", settings);
}

int run(const Arguments& arguments) {
  if (arguments.from.empty()) throw Error(ErrorKind::usage, "--from is empty: name a Hugging Face folder");
  const Config config = config_of(arguments);
  return transfer("importing", [&](const TransferProgress& progress) {
    const TransferReport report = import_model(models::make(config), config, {arguments.overwrite, progress});
    if (arguments.json) {
      nlohmann::ordered_json result = to_json(report);
      result.update({{"from", config.model.from}, {"run", config.run.dir}});
      return result.dump(2) + "\n";
    }
    return fmt::format("imported {} parameters ({} of weights in {} file{}) as {} in {:.1f} s; committed as step 0 in {}\n",
                       report.parameters, core::format_bytes(report.bytes), report.files, report.files == 1 ? "" : "s", word_of(report.dtype),
                       report.seconds, config.run.dir);
  });
}

}  // namespace

void add_import(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("import", "Make a run of a Hugging Face folder's weights, committed as step 0");
  command->add_option("CONFIG", arguments->config, "config file that the run is to be trained with: where and how its state is stored");
  command->add_option("--from", arguments->from, "Hugging Face folder: config.json, safetensors")->required();
  command->add_option("--run", arguments->run_dir, "run directory; without CONFIG the state lies in RUN/ssd")->required();
  command->add_option("--set", arguments->overrides, "change a key of the config: train.dtype=fp32 (can be repeated)")
      ->option_text("KEY=VALUE ...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--overwrite", arguments->overwrite, "replace the run that is there");
  command->add_flag("--json", arguments->json, "print the result as JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
