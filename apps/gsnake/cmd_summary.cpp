#include <memory>
#include <string>

#include "commands.h"
#include "output.h"
#include "run/run_summary.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string path;
  bool json = false;
};

int run(const Arguments& arguments) {
  const run::RunHistory history = run::read_history(arguments.path);
  const run::RunSummary summary = run::summarize(history);
  print(arguments.json ? run::to_json(summary).dump(2) + "\n" : run::to_text(summary, history));
  return 0;
}

}  // namespace

void add_summary(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("summary", "Sum up a run from its metrics: losses, SSD traffic, memory, lanes");
  command->add_option("RUN_DIR", arguments->path, "run directory (or a metrics file)")->required();
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
