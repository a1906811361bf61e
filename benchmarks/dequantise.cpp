// What one core reads from packed weights, and packs, beside what its memory allows.
//   bench_dequantise [--format nf4,int8] [--elements 134217728] [--repeats 9] [--target AVX2] [--cpu-time]
#include <fmt/format.h>
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/proc_file.h"
#include "greedysnake/error.h"
#include "quant/format.h"
#include "quant/target.h"

namespace gsnake::bench {
namespace {

using quant::Format;

constexpr std::size_t kPiece = std::size_t{256} * 1024;  // elements of one call
constexpr std::size_t kHugePage = 2U << 20U;

struct Options {
  std::vector<std::string> formats{"fp32", "bf16", "int8", "nf4", "mxfp4"};
  std::uint64_t elements = 128ULL << 20U;
  int repeats = 9;
  std::string target;
  bool cpu_time = false;
};

// Reads one word of each cache line, and writes by what the C library found fastest on this CPU, from a source in the first-level cache.
void move_bytes(const std::byte* from, std::uint64_t read, std::byte* to, std::uint64_t written) {
  alignas(64) static std::array<std::byte, 16 * 1024> source{};
  const double read_each = static_cast<double>(read) / static_cast<double>(written);
  std::uint64_t sum = 0;
  for (std::uint64_t at = 0, done = 0; at < written; at += source.size()) {
    const std::uint64_t size = std::min<std::uint64_t>(source.size(), written - at);
    for (const double until = static_cast<double>(at + size) * read_each; static_cast<double>(done) < until && done + 64 <= read;
         done += 64) {
      std::uint64_t word = 0;
      std::memcpy(&word, from + done, sizeof word);
      sum += word;
    }
    std::memcpy(to + at, source.data(), size);
  }
  source[0] = static_cast<std::byte>(sum);
}

// On huge pages where the kernel has them.
struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, Free>;

Memory allocate(std::uint64_t bytes) {
  const std::uint64_t rounded = core::round_up(bytes, kHugePage);
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(kHugePage, rounded)));
  if (memory == nullptr)
    throw Error(ErrorKind::usage, "bench_dequantise: no memory for " + core::format_bytes(bytes) + "; take fewer --elements");
  ::madvise(memory.get(), rounded, MADV_HUGEPAGE);
  std::fill_n(memory.get(), rounded, std::byte{0});
  return memory;
}

double seconds_now(bool cpu_time) {
  timespec now{};
  ::clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Spread {
  double median, low, high;
};

Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  return {values[values.size() / 2], values.front(), values.back()};
}

std::string text(const Spread& spread) { return fmt::format("{:.2f} ({:.2f}..{:.2f})", spread.median, spread.low, spread.high); }

// Alternates the two; the first round warms up.
void measure(const Options& options, const std::string& what, const std::string& bytes, const std::function<void()>& work,
             const std::function<void()>& limit) {
  const auto rate = [&](const std::function<void()>& action) {
    const double before = seconds_now(options.cpu_time);
    action();
    return static_cast<double>(options.elements) / 1e9 / (seconds_now(options.cpu_time) - before);
  };
  std::vector<double> rates;
  std::vector<double> limits;
  std::vector<double> ratios;
  for (int repeat = -1; repeat < options.repeats; ++repeat) {
    const double most = rate(limit);
    const double reached = rate(work);
    if (repeat < 0) continue;
    rates.push_back(reached);
    limits.push_back(most);
    ratios.push_back(reached / most);
  }
  fmt::print("{:<15} {:>14}  {:<20} {:<20} {}\n", what, bytes, text(spread(rates)), text(spread(limits)), text(spread(ratios)));
  std::fflush(stdout);
}

void run(const Options& options) {
  const std::uint64_t n = options.elements;
  const Memory values = allocate(n * 4);
  const Memory packed = allocate(n * 4);
  const Memory out = allocate(n * 4);
  auto* const floats = reinterpret_cast<float*>(values.get());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::generate_n(floats, std::min<std::uint64_t>(n, 1 << 20U), [&] { return normal(random); });
  for (std::uint64_t i = 1 << 20U; i < n; ++i) floats[i] = floats[i & ((1U << 20U) - 1U)];
  for (const std::string& name : options.formats) {
    const Format format = quant::format_of(name).value();
    const std::uint64_t bytes = quant::packed_bytes(format, n);
    const double each = static_cast<double>(bytes) / static_cast<double>(n);
    const auto pack = [&] {
      quant::Packer packer(format, n,
                           [&](std::uint64_t offset, std::span<const std::byte> run) { std::ranges::copy(run, packed.get() + offset); });
      packer.add({floats, n});
      packer.finish();
    };
    const auto read = [&](auto* to) {
      for (std::uint64_t at = 0; at < n; at += kPiece) {
        quant::dequantise(format, packed.get(), n, at, std::span(to + at, std::min<std::uint64_t>(kPiece, n - at)));
      }
    };
    measure(options, "pack " + name, fmt::format("4R + {:.2f}W", each), pack, [&] { move_bytes(values.get(), n * 4, out.get(), bytes); });
    // A format read as itself is memcpy().
    if (format != Format::fp32) {
      measure(
          options, name + " -> fp32", fmt::format("{:.2f}R + 4W", each), [&] { read(reinterpret_cast<float*>(out.get())); },
          [&] { move_bytes(packed.get(), bytes, out.get(), n * 4); });
    }
    if (format != Format::bf16) {
      measure(
          options, name + " -> bf16", fmt::format("{:.2f}R + 2W", each), [&] { read(reinterpret_cast<std::uint16_t*>(out.get())); },
          [&] { move_bytes(packed.get(), bytes, out.get(), n * 2); });
    }
  }
}

}  // namespace
}  // namespace gsnake::bench

int main(int argc, char** argv) {
  using gsnake::quant::supported_targets;
  CLI::App app("What one core reads from packed weights, and packs, beside what its memory allows.", "bench_dequantise");
  gsnake::bench::Options options;
  app.add_option("--format", options.formats, "formats to measure")
      ->delimiter(',')
      ->check(CLI::IsMember({"fp32", "bf16", "int8", "nf4", "mxfp4"}));
  app.add_option("--elements", options.elements, "take more than the last-level cache holds")
      ->check(CLI::Range(std::uint64_t{1} << 12U, std::uint64_t{1} << 36U))
      ->capture_default_str();
  app.add_option("--repeats", options.repeats, "measurements of each")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--target", options.target, "a SIMD target instead of the best one");
  app.add_flag("--cpu-time", options.cpu_time, "count CPU time instead of the clock's, on a machine that others keep busy");
  CLI11_PARSE(app, argc, argv);
  std::string command = "bench_dequantise";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  try {
    gsnake::quant::force_target(options.target);
    fmt::print("{}\n{}; target {}; 1 thread, {} elements; 1 warm-up, {} repeats{}; median (lowest..highest)\n", command,
               gsnake::core::field_of("/proc/cpuinfo", "model name").value_or("unknown CPU"),
               options.target.empty() ? supported_targets().front() : options.target, options.elements, options.repeats,
               options.cpu_time ? ", CPU time" : "");
    fmt::print("limit: the same arrays read a word a cache line and written by memcpy() from cached memory, piece by piece\n");
    fmt::print("{:<15} {:>14}  {:<20} {:<20} {}\n", "what", "B/element", "Gelements/s", "limit", "ratio");
    gsnake::bench::run(options);
    return 0;
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "bench_dequantise: %s\n", error.what());
    return error.exit_status();
  }
}
