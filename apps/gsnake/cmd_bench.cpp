#include "commands.h"

namespace gsnake::command {

void add_bench(CLI::App& app, Action& action) {
  CLI::App* bench = app.add_subcommand("bench", "Measure a part beside the limit that the machine sets it");
  bench->require_subcommand(1);
  add_bench_optimizer(*bench, action);
}

}  // namespace gsnake::command
