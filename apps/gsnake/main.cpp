// The command: reads the command line, runs what it names, turns what is thrown into one line and an exit status.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "commands.h"
#include "core/log.h"
#include "core/suggest.h"
#include "greedysnake/error.h"
#include "greedysnake/version.h"
#include "output.h"
#include "run/failure.h"
#include "run/signals.h"

namespace {

// Of several ranks, which this is: "rank 2". Variables that make no sense are refused where they are used.
std::string rank_name() {
  const char* count = std::getenv("WORLD_SIZE");
  const char* rank = std::getenv("RANK");
  if (count == nullptr || rank == nullptr || std::string(count) == "1") return {};
  return std::string("rank ") + rank;
}

void print_error(const char* message) {
  const std::string who = rank_name();
  std::fprintf(stderr, "gsnake: error: %s%s%s\n", who.c_str(), who.empty() ? "" : ": ", message);
}

// " (did you mean train?)", or nothing, for the first word that is not understood.
std::string suggestion(const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining();
  if (unknown.empty()) return {};
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  const std::string nearest = gsnake::core::nearest(unknown.front(), commands);
  return nearest.empty() ? nearest : fmt::format(" (did you mean {}?)", nearest);
}

// CLI11 writes some of its messages over several lines.
int report_usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {  // --help, --version
    std::ostringstream text;
    app.exit(error, text);
    gsnake::command::print(text.str());
    return 0;
  }
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  const auto commands = app.get_subcommands();
  const std::string help = commands.empty() ? "gsnake --help" : "gsnake " + commands.front()->get_name() + " --help";
  print_error(fmt::format("{}{}; see {}", message, suggestion(app), help).c_str());
  return static_cast<int>(gsnake::ErrorKind::usage);
}

int run(int argc, char** argv) {
  CLI::App app("Trains transformer language models larger than memory by streaming them from SSD.", "gsnake");
  // The first rank tells for all what is no trouble.
  const std::string who = rank_name();
  std::string log_level = who.empty() || who == "rank 0" ? "info" : "warn";
  gsnake::command::Action action;
  app.set_version_flag("--version", std::string("gsnake ") + gsnake::version());
  app.add_option("--log-level", log_level, "trace, debug, info, warn, error or off; the log goes to stderr")->capture_default_str();
  app.fallthrough();
  gsnake::command::add_train(app, action);
  gsnake::command::add_import(app, action);
  gsnake::command::add_quantize(app, action);
  add_export(app, action);
  gsnake::command::add_generate(app, action);
  gsnake::command::add_evaluate(app, action);
  gsnake::command::add_inspect(app, action);
  gsnake::command::add_summary(app, action);
  gsnake::command::add_report(app, action);
  gsnake::command::add_trace(app, action);
  gsnake::command::add_plan(app, action);
  gsnake::command::add_simulate(app, action);
  gsnake::command::add_doctor(app, action);
  gsnake::command::add_bench(app, action);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) throw CLI::RequiredError("A command");
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error);
  }
  gsnake::core::set_up_log(log_level, who);
  const std::string command = app.get_subcommands().front()->get_name();
  if (!who.empty() && command != "train" && command != "plan" && command != "simulate") {
    throw gsnake::Error(gsnake::ErrorKind::usage, fmt::format("gsnake {} is one process: start it once, without WORLD_SIZE and RANK", command));
  }
  return action.run();
}

// At once: everything of ours has ended, and LibTorch would take its thousands of operators off its tables one by one, a quarter of the time that it
// took to start. A leak is looked for at a regular end only.
[[noreturn]] void leave(int status) {
#if defined(__SANITIZE_ADDRESS__)
  std::exit(status);
#else
  spdlog::shutdown();
  std::fflush(nullptr);
  std::_Exit(status);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that is gone, or a limit on a file's size, makes a write fail and ends nothing in the middle.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    leave(run(argc, argv));
  } catch (const gsnake::command::ReaderGone&) {
    leave(gsnake::run::exit_status_of(SIGPIPE));
  } catch (...) {
    const gsnake::run::Failure failure = gsnake::run::current_failure();
    print_error(failure.message.c_str());
    leave(failure.exit_status);
  }
}
