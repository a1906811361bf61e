#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "choice_option.h"
#include "commands.h"
#include "core/bytes.h"
#include "optimizer_bench.h"
#include "output.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  bench::OptimizerOptions options;
  std::vector<std::string> formats{"fp32", "bf16", "fp16"};
  bool json = false;
};

// As it was typed.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string command{std::istreambuf_iterator<char>(file), {}};
  for (char& c : command) c = c == '\0' ? ' ' : c;
  return command.substr(0, command.find_last_not_of(' ') + 1);
}

Json to_json(const bench::Spread& spread) { return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}}; }

Json to_json(const bench::OptimizerReport& report) {
  Json results = Json::array();
  for (const bench::OptimizerResult& result : report.results) {
    results.push_back({{"format", word_of(result.format)},
                       {"threads", result.threads},
                       {"read_bytes_per_parameter", result.read_bytes},
                       {"written_bytes_per_parameter", result.written_bytes},
                       {"megaparameters_per_second", result.mega_parameters()},
                       {"gigabytes_per_second", to_json(result.update)},
                       {"limit_gigabytes_per_second", to_json(result.limit)},
                       {"ratio", to_json(result.ratio)}});
  }
  return {{"command", command_line()},
          {"cpu", report.cpu},
          {"cores", report.cores},
          {"last_level_cache_bytes", report.last_level_cache_bytes},
          {"load_average", report.load_average},
          {"target", report.target},
          {"optimizer", word_of(report.options.rule)},
          {"moments", word_of(report.options.moments)},
          {"norm_partials", report.options.norm},
          {"parameters", report.options.parameters},
          {"warm_up", 1},
          {"repeats", report.options.repeats},
          {"time", report.options.cpu_time ? "CPU time of the slowest thread" : "clock"},
          {"limit", "same arrays and threads, same bytes read and written, hardly any arithmetic; the fastest of three forms"},
          {"results", std::move(results)}};
}

std::string spread_text(const bench::Spread& spread, int digits) {
  return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", spread.median, digits, spread.low, digits, spread.high, digits);
}

std::string to_text(const bench::OptimizerReport& report) {
  std::string text =
      fmt::format("{}\n{}, {} cores, last-level cache {}, load {:.1f}; target {}\n", command_line(), report.cpu, report.cores,
                  core::format_bytes(static_cast<std::uint64_t>(report.last_level_cache_bytes)), report.load_average, report.target);
  text += fmt::format("{}, {} moments{}; {} parameters; 1 warm-up, {} repeats{}; median (lowest..highest)\n", word_of(report.options.rule),
                      word_of(report.options.moments), report.options.norm ? ", norm partials" : "",
                      report.options.parameters, report.options.repeats, report.options.cpu_time ? ", CPU time" : "");
  text +=
      "limit: a loop over the same arrays, on the same threads, with the same reads and writes and hardly any arithmetic, before and "
      "after\n";
  text += fmt::format("{:<7} {:>7} {:>10} {:>9}  {:<24} {:<24} {}\n", "weights", "threads", "B/param", "Mparam/s", "GB/s", "limit GB/s",
                      "ratio");
  for (const bench::OptimizerResult& result : report.results) {
    text += fmt::format("{:<7} {:>7} {:>10} {:>9.0f}  {:<24} {:<24} {}\n", word_of(result.format), result.threads,
                        fmt::format("{}R + {}W", result.read_bytes, result.written_bytes), result.mega_parameters(),
                        spread_text(result.update, 2), spread_text(result.limit, 2), spread_text(result.ratio, 3));
  }
  return text;
}

int run(const Arguments& arguments) {
  bench::OptimizerOptions options = arguments.options;
  options.formats.clear();
  for (const std::string& format : arguments.formats) options.formats.push_back(choice_of<Dtype>(format).value());
  const bench::OptimizerReport report = bench::bench_optimizer(std::move(options));
  print(arguments.json ? to_json(report).dump(2) + "\n" : to_text(report));
  return 0;
}

}  // namespace

void add_bench_optimizer(CLI::App& bench, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  bench::OptimizerOptions& options = arguments->options;
  CLI::App* command = bench.add_subcommand("optimizer", "Measure an optimizer's update beside what memory allows");
  command->add_option("--format", arguments->formats, "how the weights are stored (several: one after another)")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}))
      ->capture_default_str();
  command->add_option("--threads", options.threads, "numbers of threads to measure")->check(CLI::Range(1, 1024))->default_str("1 2");
  command->add_option("--parameters", options.parameters, "elements; take more than the last-level cache holds")
      ->check(CLI::Range(std::uint64_t{2048}, std::uint64_t{1} << 36U))
      ->capture_default_str();
  command->add_option("--repeats", options.repeats, "measurements of each")->check(CLI::Range(1, 100000))->capture_default_str();
  command->add_option("--target", options.target, "a SIMD target instead of the best one");
  add_choice(*command, "--optimizer", options.rule, "the update rule");
  add_choice(*command, "--moments", options.moments, "how the moments are stored");
  command->add_flag("!--without-norm", options.norm, "leave out the gradient's norm, which a training step takes in the same pass");
  command->add_flag("--cpu-time", options.cpu_time,
                    "count the threads' CPU time instead of the clock's, on a machine that others keep busy");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
