// Hands over to benchmarks/zero_infinity/bench, which runs this program and DeepSpeed in turns.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "commands.h"
#include "greedysnake/error.h"

namespace gsnake::command {
namespace {

const char* const kHarness = GSNAKE_SOURCE_DIR "/benchmarks/zero_infinity/bench";

int run(const std::vector<std::string>& arguments) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  // What is given twice counts as given last: the caller may name another program.
  std::vector<std::string> words{kHarness, "--gsnake", self};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(kHarness, argv.data());
  throw Error(
      ErrorKind::usage,
      fmt::format("bench zero-infinity: {} does not start: {}; it is part of the source tree that this program was built from, and needs "
                  "python3",
                  kHarness, std::strerror(errno)));
}

}  // namespace

void add_bench_zero_infinity(CLI::App& bench, Action& action) {
  CLI::App* command =
      bench.add_subcommand("zero-infinity", "Train in turns with DeepSpeed ZeRO-Infinity on the same work (--help: its options)");
  // All that follows, --help included, is the harness's.
  command->set_help_flag();
  command->fallthrough(false);
  command->prefix_command();
  command->callback([command, &action] { action.run = [command] { return run(command->remaining()); }; });
}

}  // namespace gsnake::command
