#include "optimizer_bench.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <stdexcept>
#include <thread>

#include "core/proc_file.h"
#include "greedysnake/error.h"
#include "measure/update_arrays.h"
#include "memory_limit.h"

namespace gsnake::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<std::size_t, 3> kLimitAhead{0, 64, 256};  // elements

Streams streams_of(const measure::UpdateArrays& arrays, const optim::Optimizer& optimizer, std::uint64_t begin) {
  const optim::WeightFormat format = optimizer.weight_format();
  const std::vector<std::uint64_t> states = optimizer.state_bytes();
  const optim::UpdateChunk own = arrays.chunk(begin, begin, false);
  const auto stream = [](std::byte* data, std::uint64_t bytes) { return Stream{reinterpret_cast<std::uint32_t*>(data), bytes}; };
  Streams streams;
  streams.weight = stream(own.weight, optim::weight_bytes(format));
  streams.reads_weight = format != optim::WeightFormat::fp16;
  streams.master = stream(own.master, optim::master_bytes(format));
  streams.moments[0] = stream(own.states[0], states[0]);
  if (states.size() > 1) streams.moments[1] = stream(own.states[1], states[1]);
  streams.gradient = reinterpret_cast<const std::uint32_t*>(own.gradient);
  return streams;
}

using Part = std::function<void(std::uint64_t begin, std::uint64_t end)>;

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Seconds {
  double clock;  // from the first thread's start to the last one's end
  double cpu;    // of the thread that took most
};

// Every thread has a contiguous part, of whole norm blocks.
Seconds time_pass(std::uint64_t parameters, unsigned threads, const Part& work) {
  const std::uint64_t blocks = parameters / optim::kNormBlock;
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<Clock::time_point> begun(threads);
  std::vector<Clock::time_point> ended(threads);
  std::vector<double> cpu(threads);
  {
    std::vector<std::jthread> pool;
    for (unsigned i = 0; i < threads; ++i) {
      pool.emplace_back([&, i] {
        start.arrive_and_wait();
        begun[i] = Clock::now();
        const double before = thread_seconds();
        work(blocks * i / threads * optim::kNormBlock, blocks * (i + 1) / threads * optim::kNormBlock);
        cpu[i] = thread_seconds() - before;
        ended[i] = Clock::now();
      });
    }
  }
  const std::chrono::duration<double> clock = *std::ranges::max_element(ended) - *std::ranges::min_element(begun);
  return {clock.count(), *std::ranges::max_element(cpu)};
}

Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  return {values[values.size() / 2], values.front(), values.back()};
}

OptimizerResult measure(const OptimizerOptions& options, const optim::Optimizer& optimizer, unsigned threads) {
  OptimizerResult result;
  result.format = optimizer.weight_format();
  result.threads = threads;
  const measure::UpdateBytes bytes = measure::update_bytes(optimizer);
  result.read_bytes = bytes.read;
  result.written_bytes = bytes.written;

  measure::UpdateArrays arrays(optimizer, options.parameters);
  time_pass(options.parameters, threads, [&](std::uint64_t begin, std::uint64_t end) { arrays.fill(begin, end); });
  const std::array runs{optim::DecayRun{0, options.parameters, true}};
  const auto update = [&](std::uint64_t begin, std::uint64_t end) {
    optim::UpdateChunk chunk = arrays.chunk(begin, end, options.norm);
    chunk.runs = runs;
    if (!optimizer.update({.learning_rate = 1e-4, .updates = 10}, chunk)) std::abort();  // the values above can't
  };
  const auto rate = [&](const Part& work) {
    const Seconds took = time_pass(options.parameters, threads, work);
    return static_cast<double>(options.parameters) * result.bytes() / 1e9 / (options.cpu_time ? took.cpu : took.clock);
  };
  const auto limit = [&](std::size_t ahead) {
    return rate([&, ahead](std::uint64_t begin, std::uint64_t end) { move_bytes(streams_of(arrays, optimizer, begin), end - begin, ahead); });
  };
  std::vector<double> updates;
  std::vector<double> limits;
  std::vector<double> ratios;
  for (int repeat = -1; repeat < options.repeats; ++repeat) {  // the first round warms up
    double most = limit(kLimitAhead[0]);
    const double updated = rate(update);
    for (const std::size_t ahead : {kLimitAhead[1], kLimitAhead[2]}) most = std::max(most, limit(ahead));
    if (repeat < 0) continue;
    updates.push_back(updated);
    limits.push_back(most);
    ratios.push_back(updated / limits.back());
  }
  result.update = spread(std::move(updates));
  result.limit = spread(std::move(limits));
  result.ratio = spread(std::move(ratios));
  return result;
}

double load_average() {
  double load = 0.0;
  return ::getloadavg(&load, 1) == 1 ? load : 0.0;
}

// Restores the dispatch when the run is over.
class ForcedTarget {
 public:
  explicit ForcedTarget(const std::string& name) { optim::force_target(name); }
  ~ForcedTarget() { optim::force_target(""); }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
};

}  // namespace

OptimizerReport bench_optimizer(OptimizerOptions options) {
  const ForcedTarget forced(options.target);
  options.parameters = options.parameters / optim::kNormBlock * optim::kNormBlock;
  if (options.parameters == 0 || options.repeats < 1)
    throw Error(ErrorKind::usage, "bench optimizer: measure 2048 parameters or more, once or more");
  OptimizerReport report;
  report.cores = std::max(1U, std::thread::hardware_concurrency());
  if (options.threads.empty()) options.threads = report.cores > 1 ? std::vector<unsigned>{1, 2} : std::vector<unsigned>{1};
  report.cpu = core::field_of("/proc/cpuinfo", "model name").value_or("unknown CPU");
  report.last_level_cache_bytes = std::max(0L, ::sysconf(_SC_LEVEL3_CACHE_SIZE));
  report.load_average = load_average();
  report.target = options.target.empty() ? optim::supported_targets().front() : options.target;
  for (const optim::WeightFormat format : options.formats) {
    optim::OptimizerSpec spec;
    spec.rule = options.rule;
    spec.weights = format;
    spec.moments = options.moments;
    const auto optimizer = optim::make_optimizer(spec);
    for (const unsigned threads : options.threads) report.results.push_back(measure(options, *optimizer, threads));
  }
  report.options = std::move(options);
  return report;
}

}  // namespace gsnake::bench
