#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "choice_option.h"
#include "commands.h"
#include "core/bytes.h"
#include "greedysnake/hugging_face.h"
#include "output.h"
#include "ssd_option.h"
#include "transfer.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string run_dir;
  std::vector<std::string> ssd_paths;
  std::string to;
  std::optional<Dtype> dtype;
  std::string shard_size = "5 GB";
  bool merge = false;
  bool json = false;
};

int run(const Arguments& arguments) {
  return transfer("exporting", [&](const TransferProgress& progress) {
    ExportOptions options;
    options.dtype = arguments.dtype;
    options.merge = arguments.merge;
    options.ssd_paths = arguments.ssd_paths;
    options.shard_bytes = core::parse_bytes(arguments.shard_size);
    options.progress = progress;
    const TransferReport report = export_run(arguments.run_dir, arguments.to, options);
    if (arguments.json) {
      nlohmann::ordered_json result = to_json(report);
      result.update({{"run", arguments.run_dir}, {"to", arguments.to}});
      return result.dump(2) + "\n";
    }
    return fmt::format("exported step {}: {} parameters ({} of weights in {} file{}) as {} in {:.1f} s, to {}\n", report.step,
                       report.parameters, core::format_bytes(report.bytes), report.files, report.files == 1 ? "" : "s", word_of(report.dtype),
                       report.seconds, arguments.to);
  });
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("export", "Write a run's last commit as a Hugging Face folder");
  command->add_option("--run", arguments->run_dir, "run directory, also of a run that is being trained")->required();
  add_ssd_paths(*command, arguments->ssd_paths);
  command->add_option("--to", arguments->to, "folder to make")->required();
  add_choice(*command, "--dtype", arguments->dtype, "of the weights: fp32 (the master weights), bf16, fp16; without it, the run's train.dtype, of an adapter fp32");
  command->add_flag("--merge", arguments->merge, "of a run with an adapter: the whole model with what the adapter does to it; without it, PEFT's folder of the adapter");
  command->add_option("--shard-size", arguments->shard_size, "of one file at most: bytes, or text such as \"5 GB\"")->capture_default_str();
  command->add_flag("--json", arguments->json, "print the result as JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
