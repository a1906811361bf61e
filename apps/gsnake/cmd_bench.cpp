// The benchmarks of what a machine can do: each prints the limit that it is measured against and the ratio.
#include "commands.h"

namespace gsnake::command {

void add_bench(CLI::App& app, Action& action) {
  CLI::App* bench = app.add_subcommand("bench", "Measure what this machine can do, beside the limit it is held against");
  bench->require_subcommand(1);
  add_bench_ssd(*bench, action);
  add_bench_optimizer(*bench, action);
  add_bench_copy(*bench, action);
  add_bench_step(*bench, action);
  add_bench_zero_infinity(*bench, action);
}

}  // namespace gsnake::command
