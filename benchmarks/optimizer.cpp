// AdamW beside what memory allows: a loop over the same buffers that reads four arrays and writes three of them in place, and does next to
// no arithmetic.
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "optim/optimizer.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBytesPerParameter = 28.0;  // reads weight, two moments, gradient; writes the first three
constexpr std::size_t kHugePage = std::size_t{2} << 20;

struct AdamWChunk {
  std::span<float> weight, moment1, moment2;
  std::span<const float> gradient;
};

struct Options {
  std::size_t parameters = std::size_t{32} << 20;
  std::vector<unsigned> threads{1, std::max(1U, std::thread::hardware_concurrency())};
  int repeats = 15;
  std::string target;
};

// One array on huge pages where the kernel has them, as the library's arena is.
class Array {
 public:
  explicit Array(std::size_t size) : size_(size), data_(static_cast<float*>(::operator new (bytes(), std::align_val_t{kHugePage}))) {
    (void)madvise(data_.get(), bytes(), MADV_HUGEPAGE);  // advice: without it the benchmark is slower and still right
  }
  [[nodiscard]] std::span<float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* data) const { ::operator delete (data, std::align_val_t{kHugePage}); }
  };
  [[nodiscard]] std::size_t bytes() const { return (size_ * sizeof(float) + kHugePage - 1) / kHugePage * kHugePage; }

  std::size_t size_;
  std::unique_ptr<float, Free> data_;
};

struct Buffers {
  explicit Buffers(std::size_t parameters) : weight(parameters), moment1(parameters), moment2(parameters), gradient(parameters) {
    // Positive and small: after any number of passes nothing is denormal, infinite or the root of a negative number.
    for (std::size_t i = 0; i < parameters; ++i) {
      weight.span()[i] = 0.02F;
      moment1.span()[i] = 1e-3F;
      moment2.span()[i] = 1e-6F;
      gradient.span()[i] = 1e-3F * (1.0F + static_cast<float>(i % 1021) / 1021.0F);
    }
  }
  [[nodiscard]] AdamWChunk chunk(std::size_t begin, std::size_t size) const {
    return {weight.span().subspan(begin, size),
            moment1.span().subspan(begin, size),
            moment2.span().subspan(begin, size),
            gradient.span().subspan(begin, size)};
  }
  Array weight, moment1, moment2, gradient;
};

constexpr std::size_t kLine = 16;  // floats
constexpr std::size_t kLimitAhead = 4 * kLine;

// `ahead`: how many floats ahead it asks for, which helps on some machines; 0 leaves that to the hardware.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif
void memory_limit(float* __restrict weight, float* __restrict moment1, float* __restrict moment2, const float* __restrict gradient,
                  std::size_t size, std::size_t ahead) {
  for (std::size_t line = 0; line + kLine <= size; line += kLine) {
    if (ahead != 0) {
      __builtin_prefetch(weight + line + ahead);
      __builtin_prefetch(moment1 + line + ahead);
      __builtin_prefetch(moment2 + line + ahead);
      __builtin_prefetch(gradient + line + ahead);
    }
    for (std::size_t i = line; i < line + kLine; ++i) {
      const float g = gradient[i];
      weight[i] += g;
      moment1[i] += g;
      moment2[i] += g;
    }
  }
}

// Seconds from the first thread's start to the last one's end; every thread has a contiguous part.
double time_pass(const Buffers& buffers, std::size_t parameters, unsigned threads, const std::function<void(const AdamWChunk&)>& work) {
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<Clock::time_point> begun(threads);
  std::vector<Clock::time_point> ended(threads);
  {
    std::vector<std::jthread> pool;
    for (unsigned i = 0; i < threads; ++i) {
      pool.emplace_back([&, i] {
        const std::size_t begin = parameters * i / threads / gsnake::optim::kNormBlock * gsnake::optim::kNormBlock;
        const std::size_t end =
            i + 1 == threads ? parameters : parameters * (i + 1) / threads / gsnake::optim::kNormBlock * gsnake::optim::kNormBlock;
        const AdamWChunk chunk = buffers.chunk(begin, end - begin);
        start.arrive_and_wait();
        begun[i] = Clock::now();
        work(chunk);
        ended[i] = Clock::now();
      });
    }
  }
  return std::chrono::duration<double>(*std::ranges::max_element(ended) - *std::ranges::min_element(begun)).count();
}

struct Spread {
  double median, low, high;
};

Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  return {values[values.size() / 2], values.front(), values.back()};
}

void report(const Options& options, const Buffers& buffers, unsigned threads) {
  const std::array runs{gsnake::optim::DecayRun{0, options.parameters, true}};
  const auto optimizer = gsnake::optim::make_optimizer({});
  const auto adamw = [&](const AdamWChunk& part) {
    gsnake::optim::UpdateChunk chunk;
    chunk.weight = reinterpret_cast<std::byte*>(part.weight.data());
    chunk.states = {reinterpret_cast<std::byte*>(part.moment1.data()), reinterpret_cast<std::byte*>(part.moment2.data())};
    chunk.gradient = part.gradient.data();
    chunk.elements = part.weight.size();
    chunk.runs = runs;
    if (!optimizer->update({1e-4, 10}, chunk)) std::abort();
  };
  const auto limit = [](std::size_t ahead) {
    return [ahead](const AdamWChunk& chunk) {
      memory_limit(chunk.weight.data(), chunk.moment1.data(), chunk.moment2.data(), chunk.gradient.data(), chunk.weight.size(), ahead);
    };
  };
  const auto gigabytes = static_cast<double>(options.parameters) * kBytesPerParameter / 1e9;
  const auto measure = [&](const auto& work) { return gigabytes / time_pass(buffers, options.parameters, threads, work); };
  std::vector<double> adamw_rates;
  std::vector<double> limit_rates;
  std::vector<double> ratios;
  for (int repeat = -1; repeat < options.repeats; ++repeat) {  // the first round warms up
    const double plain = measure(limit(0));
    const double adamw_rate = measure(adamw);
    const double prefetching = measure(limit(kLimitAhead));
    if (repeat < 0) continue;
    limit_rates.push_back(std::max(plain, prefetching));
    adamw_rates.push_back(adamw_rate);
    ratios.push_back(adamw_rate / limit_rates.back());
  }
  const Spread rate = spread(adamw_rates);
  const Spread most = spread(limit_rates);
  const Spread ratio = spread(ratios);
  std::printf("%7u  %8.0f  %6.2f (%.2f..%.2f)  %6.2f (%.2f..%.2f)  %5.3f (%.3f..%.3f)\n", threads, rate.median * 1e3 / kBytesPerParameter,
              rate.median, rate.low, rate.high, most.median, most.low, most.high, ratio.median, ratio.low, ratio.high);
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

int run(const Options& options, const std::string& command) {
  gsnake::optim::force_target(options.target);
  const std::string target = options.target.empty() ? gsnake::optim::supported_targets().front() : options.target;
  std::printf("%s\n%s, %u cores; target %s; %zu parameters (4 arrays of %zu MiB, huge pages asked for)\n", command.c_str(),
              cpu_name().c_str(), std::thread::hardware_concurrency(), target.c_str(), options.parameters,
              options.parameters * sizeof(float) >> 20U);
  std::printf(
      "1 warm-up, %d repeats, each between two of the limit (4 reads : 3 writes in place, same buffers; the faster counts); median "
      "(lowest..highest)\n",
      options.repeats);
  std::printf("threads  Mparam/s  AdamW GB/s             limit GB/s             ratio\n");
  const Buffers buffers(options.parameters);
  for (const unsigned threads : options.threads) report(options, buffers, threads);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"AdamW's speed beside the memory's"};
  app.add_option("--parameters", options.parameters, "elements of each array; take more than the last-level cache holds")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "thread counts to measure")->check(CLI::PositiveNumber);
  app.add_option("--repeats", options.repeats, "measurements of each")->check(CLI::PositiveNumber);
  app.add_option("--target", options.target, "a SIMD target instead of the best one");
  CLI11_PARSE(app, argc, argv);
  std::string command;
  for (const char* argument : std::span(argv, static_cast<std::size_t>(argc)))
    command += (command.empty() ? "" : " ") + std::string(argument);
  try {
    return run(options, command);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
