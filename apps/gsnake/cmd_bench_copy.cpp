#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "core/bytes.h"
#include "device/copy_bench.h"
#include "output.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const bench::Range& range) { return {{"median", range.median}, {"low", range.low}, {"high", range.high}}; }

Json to_json(const bench::CopyReport& report) {
  Json results = Json::array();
  for (const bench::CopyResult& result : report.results) {
    results.push_back({{"direction", result.what},
                       {"gigabytes_per_second", to_json(result.chunks)},
                       {"plain_gigabytes_per_second", to_json(result.plain)},
                       {"ratio", to_json(result.ratio)}});
  }
  return {{"device", report.options.device},
          {"bytes", report.options.bytes},
          {"chunk_bytes", report.options.chunk_bytes},
          {"warm_up", 1},
          {"repeats", report.options.repeats},
          {"plain", "one call for all the bytes, between the same memory"},
          {"results", std::move(results)}};
}

std::string text_of(const bench::Range& range, int digits) { return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", range.median, digits, range.low, digits, range.high, digits); }

std::string to_text(const bench::CopyReport& report) {
  std::string text = fmt::format("{}: {} each way in copies of {}, beside one copy of all; 1 warm-up, {} repeats; median (lowest..highest)\n", report.options.device,
                                 core::format_bytes(report.options.bytes), core::format_bytes(report.options.chunk_bytes), report.options.repeats);
  text += fmt::format("{:<6} {:<24} {:<24} {}\n", "", "GB/s", "plain GB/s", "ratio");
  for (const bench::CopyResult& result : report.results) {
    text += fmt::format("{:<6} {:<24} {:<24} {}\n", result.what, text_of(result.chunks, 2), text_of(result.plain, 2), text_of(result.ratio, 3));
  }
  return text;
}

struct Arguments {
  bench::CopyOptions options;
  bool json = false;
};

int run(const Arguments& arguments) {
  const bench::CopyReport report = bench::bench_copy(arguments.options);
  print(arguments.json ? to_json(report).dump(2) + "\n" : to_text(report));
  return 0;
}

}  // namespace

void add_bench_copy(CLI::App& bench, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  bench::CopyOptions& options = arguments->options;
  CLI::App* command = bench.add_subcommand("copy", "Measure copies between host and device as a step makes them, beside a plain copy");
  command->add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  command->add_option("--bytes", options.bytes, "of each direction")->check(CLI::Range(std::uint64_t{1} << 12U, std::uint64_t{1} << 36U))->capture_default_str();
  command->add_option("--chunk", options.chunk_bytes, "bytes of one copy")->check(CLI::Range(std::uint64_t{1} << 12U, std::uint64_t{1} << 32U))->capture_default_str();
  command->add_option("--repeats", options.repeats, "measurements of each")->check(CLI::Range(1, 100000))->capture_default_str();
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
