#include "ssd/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <fstream>
#include <thread>

#include "core/bytes.h"

namespace gsnake::bench {
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string kernel() {
  utsname machine{};
  ::uname(&machine);
  return machine.release;
}

std::string cache_of(const Report& report) {
  return report.direct ? "O_DIRECT: the page cache is not involved" : "through the page cache (" + report.buffered_reason + ")";
}

nlohmann::json to_json(const Result& result, double limit) {
  const Setting& setting = result.contestant.setting;
  nlohmann::json json{{"name", result.contestant.name},
                      {"engine", result.contestant.engine},
                      {"block_bytes", setting.block_bytes},
                      {"depth", setting.depth},
                      {"stripe_bytes", setting.stripe_bytes},
                      {"read_share", result.samples.empty() ? setting.read_share : result.samples.front().read_share}};
  if (is_pool(result.contestant.engine)) {
    json["threads"] = setting.engine.threads;
    json["split_bytes"] = setting.engine.split_bytes;
  }
  if (!result.refusal.empty()) return json["refused"] = result.refusal, json;
  const Spread rate = result.rate();
  json["bytes_per_second"] = {{"median", rate.median}, {"low", rate.low}, {"high", rate.high}};
  json["cpu_seconds_per_gib"] = result.cpu();
  json["ratio"] = rate.median / limit;
  for (const Sample& sample : result.samples) json["samples"].push_back(sample.bytes_per_second);
  return json;
}

std::string line_of(Mode mode, const Result& result, double limit) {
  const Contestant& contestant = result.contestant;
  if (!result.refusal.empty()) return fmt::format("{:5}  {:32}  refused: {}\n", name_of(mode), contestant.name, result.refusal);
  const Spread rate = result.rate();
  return fmt::format("{:5}  {:32}  {:34}  {:6.2f} ({:.2f}..{:.2f})  {:>9.3f}  {:>5.2f}\n", name_of(mode), contestant.name,
                     describe(contestant), rate.median / 1e9, rate.low / 1e9, rate.high / 1e9, result.cpu(), rate.median / limit);
}

}  // namespace

std::string describe(const Contestant& contestant) {
  const Setting& setting = contestant.setting;
  std::string text = fmt::format("{} x {}", core::format_bytes(setting.block_bytes), setting.depth);
  if (setting.stripe_bytes != 0) text += fmt::format(" in {}", core::format_bytes(setting.stripe_bytes));
  if (is_pool(contestant.engine)) text += fmt::format(", {} threads", setting.engine.threads);
  return text;
}

std::string to_text(const Report& report) {
  std::string text = fmt::format(
      "{}\nLinux {}, {} CPUs ({}); {} file(s) in {}; {} moved each time; {}\n"
      "1 warm-up, {} repeats in turns; median (lowest..highest); ratio to {}\n"
      "{:5}  {:32}  {:34}  {:20}  {:>9}  {:>5}\n",
      report.command, kernel(), std::thread::hardware_concurrency(), processor(), report.files, fmt::join(report.directories, ", "),
      core::format_bytes(report.bytes), cache_of(report), report.repeats, report.limit, "op", "engine", "blocks x depth", "GB/s",
      "CPU s/GiB", "ratio");
  for (const Report::Part& part : report.parts) {
    const double limit = part.results[part.limit].rate().median;
    for (const Result& result : part.results) text += line_of(part.mode, result, limit);
  }
  return text;
}

nlohmann::json to_json(const Report& report) {
  nlohmann::json json{{"command", report.command},
                      {"machine", {{"kernel", kernel()}, {"cpus", std::thread::hardware_concurrency()}, {"processor", processor()}}},
                      {"limit", report.limit},
                      {"direct", report.direct},
                      {"page_cache", !report.direct},
                      {"buffered_reason", report.buffered_reason},
                      {"files", report.files},
                      {"bytes", report.bytes},
                      {"repeats", report.repeats}};
  for (const Report::Part& part : report.parts) {
    const double limit = part.results[part.limit].rate().median;
    for (const Result& result : part.results) json["results"][name_of(part.mode)].push_back(to_json(result, limit));
  }
  return json;
}

}  // namespace gsnake::bench
