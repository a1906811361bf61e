// One function a command: declares it, and says what runs when it is called.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace gsnake::command {

// What the command line asks for.
struct Action {
  std::function<int()> run;  // returns the exit status
};

// Adds the command to `app`. When the command line names it, `action` is set; the arguments live as long as `action.run`.
void add_train(CLI::App& app, Action& action);
void add_import(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_generate(CLI::App& app, Action& action);
void add_evaluate(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_summary(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_trace(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_simulate(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
// `gsnake bench`, and what is below it.
void add_bench(CLI::App& app, Action& action);
void add_bench_ssd(CLI::App& bench, Action& action);
void add_bench_optimizer(CLI::App& bench, Action& action);
void add_bench_copy(CLI::App& bench, Action& action);
void add_bench_step(CLI::App& bench, Action& action);
void add_bench_zero_infinity(CLI::App& bench, Action& action);

}  // namespace gsnake::command
