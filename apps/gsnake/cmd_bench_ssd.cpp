#include <fstream>
#include <memory>
#include <string>

#include "commands.h"
#include "output.h"
#include "ssd/command.h"

namespace gsnake::command {
namespace {

// As it was called, without the folder of the program.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline");
  std::string line = "gsnake";
  std::string word;
  std::getline(file, word, '\0');
  while (std::getline(file, word, '\0')) line += " " + word;
  return line;
}

}  // namespace

void add_bench_ssd(CLI::App& bench, Action& action) {
  const auto options = std::make_shared<bench::SsdOptions>();
  CLI::App* command = bench.add_subcommand("ssd", "Read, write and mixed rates of drives through the I/O engines, beside fio's");
  bench::add_ssd_options(*command, *options);
  command->callback([options, &action] {
    action.run = [options] {
      print(bench::run_ssd(*options, command_line()));
      return 0;
    };
  });
}

}  // namespace gsnake::command
