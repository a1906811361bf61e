// `gsnake bench optimizer` as a program of its own, which needs no Torch.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "commands.h"

int main(int argc, char** argv) {
  CLI::App app("An optimizer's speed beside the memory's");
  gsnake::command::Action action;
  gsnake::command::add_bench_optimizer(app, action);
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  try {
    return action.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_optimizer: error: %s\n", error.what());
    return 2;
  }
}
