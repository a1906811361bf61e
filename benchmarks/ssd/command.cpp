#include "ssd/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/bytes.h"
#include "core/errors.h"
#include "ssd/fio.h"
#include "ssd/report.h"

namespace gsnake::bench {
namespace {

constexpr std::uint64_t kMostMemory = 512ULL << 20;
constexpr std::uint64_t kMiB = 1ULL << 20;

// The settings of a sweep that fit into memory and, in blocks, into the files.
std::vector<Setting> settings_of(const SsdOptions& options) {
  std::vector<Setting> settings;
  for (const std::string& block : options.blocks) {
    for (const unsigned depth : options.depths) {
      Setting setting;
      setting.block_bytes = core::parse_bytes(block);
      setting.depth = depth;
      setting.stripe_bytes = options.stripe.empty() ? 0 : core::parse_bytes(options.stripe);
      if (setting.block_bytes == 0 || setting.block_bytes % 4096 != 0 ||
          (setting.stripe_bytes != 0 && setting.block_bytes % setting.stripe_bytes != 0))
        throw Error(ErrorKind::usage, fmt::format("--block {} is no multiple of 4096 bytes, or of --stripe", block));
      if (setting.block_bytes * depth <= kMostMemory) settings.push_back(setting);
    }
  }
  if (settings.empty()) throw Error(ErrorKind::usage, "every --block times --depth is over 512 MiB: give smaller ones");
  return settings;
}

std::vector<Contestant> contestants_of(const SsdOptions& options, const std::string& engine) {
  std::vector<Contestant> all;
  for (const Setting& setting : settings_of(options)) {
    if (!is_pool(engine)) {
      all.push_back({engine, engine, setting});
      continue;
    }
    for (const unsigned threads : options.threads) {
      Contestant& added = all.emplace_back(Contestant{engine, engine, setting});
      added.setting.engine.threads = threads;
      if (!options.split.empty()) added.setting.engine.split_bytes = core::parse_bytes(options.split);
    }
  }
  return all;
}

// Whether the drive behind every folder answers to polling (IOPOLL).
bool all_poll(const std::vector<std::string>& directories) {
  return std::ranges::all_of(directories, [](const std::string& directory) {
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) return false;
    std::ifstream file(fmt::format("/sys/dev/block/{}:{}/queue/io_poll", major(status.st_dev), minor(status.st_dev)));
    int polls = 0;
    return file >> polls && polls == 1;
  });
}

std::vector<Contestant> set_ups(const Setting& setting, bool polls) {
  std::vector<std::pair<std::string, io::UringOptions>> all{
      {"DEFER_TASKRUN, SINGLE_ISSUER", {.task_run = io::TaskRun::deferred}},
      {"COOP_TASKRUN", {.task_run = io::TaskRun::cooperative}},
      {"neither (interrupting)", {.task_run = io::TaskRun::interrupting}},
      {"SQPOLL", {.submission_polling = true}},
      {"default, files unregistered", {.register_files = false}},
      {"default, buffers unregistered", {.register_buffers = false}},
  };
  if (polls) all.push_back({"default, IOPOLL", {.completion_polling = true}});
  std::vector<Contestant> contestants;
  for (const auto& [name, uring] : all) {
    contestants.push_back({name, "io_uring", setting});
    contestants.back().setting.engine.uring = uring;
  }
  return contestants;
}

class Benchmark {
 public:
  explicit Benchmark(const SsdOptions& options)
      : options_(options),
        files_(options.directories, options.files, core::parse_bytes(options.size),
               options.buffered ? io::DirectIo::off : io::DirectIo::automatic),
        arena_(files_, std::max(most_memory(), kFallbackMemory)),
        has_fio_(!fio_version().empty()) {}

  Report run(const std::string& command) {
    Report report;
    report.command = command;
    report.directories = options_.directories;
    report.repeats = options_.repeats;
    report.direct = files_.direct();
    report.buffered_reason = files_.buffered_reason();
    report.files = files_.files().size();
    report.bytes = files_.total_bytes();
    report.limit = limit_in_words();
    for (const std::string& op : options_.ops) {
      const Mode mode = op == "read" ? Mode::read : op == "write" ? Mode::write : Mode::mix;
      const std::vector<Contestant> contestants =
          options_.options ? set_ups(settings_of(options_).front(), all_poll(options_.directories)) : chosen(mode);
      report.parts.push_back({mode, arena_.alternate(mode, contestants, options_.repeats), 0});
    }
    return report;
  }

 private:
  static constexpr std::uint64_t kFallbackMemory = 256 * kMiB;

  [[nodiscard]] std::uint64_t most_memory() const {
    std::uint64_t most = 0;
    for (const Setting& setting : settings_of(options_)) most = std::max(most, setting.block_bytes * setting.depth);
    return most;
  }
  [[nodiscard]] bool whole_blocks() const { return options_.stripe.empty(); }
  [[nodiscard]] std::string limit_in_words() const {
    if (options_.options) return "the first line";
    if (!whole_blocks()) return "io_uring with whole blocks, which go to the files in turn";
    return has_fio_ ? fio_version() + ", io_uring, in turns with the others"
                    : "our io_uring at its best block and depth (fio is not installed)";
  }

  // The limit first, then the engines, each at its best.
  std::vector<Contestant> chosen(Mode mode) {
    std::vector<Contestant> all{limit(mode)};
    for (const std::string& engine : options_.engines) all.push_back(best(mode, contestants_of(options_, engine)));
    // fio draws reads and writes at random, the same ones at each run: the others then get as many.
    if (mode == Mode::mix && all.front().engine == "fio") {
      const double share = arena_.measure(mode, all.front()).read_share;
      for (Contestant& contestant : all) contestant.setting.read_share = share;
    }
    return all;
  }

  Contestant limit(Mode mode) {
    if (has_fio_ && whole_blocks()) return best(mode, contestants_of(options_, "fio"));
    if (!whole_blocks()) {
      Contestant whole{"io_uring, whole blocks", "io_uring", settings_of(options_).front()};
      whole.setting.stripe_bytes = 0;
      return whole;
    }
    SsdOptions wide = options_;
    wide.blocks = {"1 MiB", "4 MiB", "16 MiB"};
    wide.depths = {8, 16};
    Contestant fastest = best(mode, contestants_of(wide, "io_uring"));
    fastest.name = "io_uring at its best";
    return fastest;
  }

  Contestant best(Mode mode, const std::vector<Contestant>& candidates) {
    if (candidates.size() == 1) return candidates.front();
    const std::optional<Contestant> fastest = arena_.best(mode, candidates, [mode](const Contestant& contestant, double rate) {
      fmt::print(stderr, "sweep, {}: {} {}: {:.2f} GB/s\n", name_of(mode), contestant.name, describe(contestant), rate / 1e9);
    });
    return fastest ? *fastest : candidates.front();
  }

  const SsdOptions& options_;
  TestFiles files_;
  Arena arena_;
  bool has_fio_;
};

}  // namespace

void add_ssd_options(CLI::App& app, SsdOptions& options) {
  app.add_option("DIR", options.directories, "folders on the drives to measure; blocks go to them in turn")->required();
  app.add_option("--op", options.ops, "read, write, mix (four reads to three writes, as in a training step)")
      ->delimiter(',')
      ->check(CLI::IsMember({"read", "write", "mix"}))
      ->capture_default_str();
  app.add_option("--engine", options.engines, "io_uring, threads, cufile (GPUDirect Storage's library, on host memory)")
      ->delimiter(',')
      ->check(CLI::IsMember({"io_uring", "threads", "cufile"}))
      ->capture_default_str();
  app.add_option("--block", options.blocks, "block size; several: the best of a sweep")->delimiter(',')->capture_default_str();
  app.add_option("--depth", options.depths, "blocks in flight; several: the best of a sweep")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--threads", options.threads, "of the engines threads and cufile; several: the best of a sweep")
      ->delimiter(',')
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--split", options.split, "largest transfer of the engines threads and cufile");
  app.add_option("--stripe", options.stripe, "cut blocks into pieces of this size, that go to the files in turn, as a run's state does");
  app.add_option("--files", options.files, "in each folder")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--size", options.size, "of all files together; each measurement moves as much")->capture_default_str();
  app.add_option("--repeats", options.repeats, "measurements of each, in turns")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--options", options.options, "io_uring's set-ups beside each other, with the first block and depth");
  app.add_flag("--buffered", options.buffered, "through the page cache");
  app.add_option("--save", options.save, "write the JSON to this file too");
  app.add_flag("--json", options.json, "print JSON");
}

std::string run_ssd(const SsdOptions& options, const std::string& command_line) {
  const Report report = Benchmark(options).run(command_line);
  if (!options.save.empty()) {
    std::ofstream file(options.save);
    file << to_json(report).dump(1) << std::endl;
    if (!file) core::throw_storage("write", options.save, core::errno_code(), "choose another file");
  }
  return options.json ? to_json(report).dump(1) + "\n" : to_text(report);
}

}  // namespace gsnake::bench
