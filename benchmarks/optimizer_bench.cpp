#include "optimizer_bench.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "greedysnake/error.h"
#include "memory_limit.h"

namespace gsnake::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHugePage = std::size_t{2} << 20U;
constexpr std::array<std::size_t, 3> kLimitAhead{0, 64, 256};  // elements

// One array on huge pages where the kernel has them, as the library's arena is.
class Array {
 public:
  explicit Array(std::size_t bytes) {
    if (bytes == 0) return;
    const std::size_t padded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    data_.reset(static_cast<std::byte*>(::operator new (padded, std::align_val_t{kHugePage})));
    (void)madvise(data_.get(), padded, MADV_HUGEPAGE);  // advice: without it the benchmark is slower and still right
  }
  [[nodiscard]] std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const { ::operator delete (data, std::align_val_t{kHugePage}); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

// The arrays of one object, in one format.
class Arrays {
 public:
  Arrays(const optim::Optimizer& optimizer, std::uint64_t parameters)
      : format_(optimizer.weight_format()),
        states_(optimizer.state_bytes()),
        weight_(parameters * optim::weight_bytes(format_)),
        master_(parameters * optim::master_bytes(format_)),
        state0_(parameters * states_[0]),
        state1_(states_.size() > 1 ? parameters * states_[1] : 0),
        gradient_(parameters * sizeof(float)),
        partials_(parameters / optim::kNormBlock) {}

  [[nodiscard]] optim::UpdateChunk chunk(std::uint64_t begin, std::uint64_t end, bool norm) {
    optim::UpdateChunk chunk;
    chunk.weight = weight_.data() + begin * optim::weight_bytes(format_);
    if (master_.data() != nullptr) chunk.master = master_.data() + begin * optim::master_bytes(format_);
    chunk.states[0] = state0_.data() + begin * states_[0];
    if (states_.size() > 1) chunk.states[1] = state1_.data() + begin * states_[1];
    chunk.gradient = reinterpret_cast<const float*>(gradient_.data()) + begin;
    chunk.elements = end - begin;
    chunk.first_element = begin;
    if (norm) chunk.partials = partials_.data() + begin / optim::kNormBlock;
    return chunk;
  }
  [[nodiscard]] Streams streams(std::uint64_t begin) {
    const optim::UpdateChunk own = chunk(begin, begin, false);
    const auto stream = [](std::byte* data, std::uint64_t bytes) { return Stream{reinterpret_cast<std::uint32_t*>(data), bytes}; };
    Streams streams;
    streams.weight = stream(own.weight, optim::weight_bytes(format_));
    streams.reads_weight = format_ != optim::WeightFormat::fp16;
    streams.master = stream(own.master, optim::master_bytes(format_));
    streams.moments[0] = stream(own.states[0], states_[0]);
    if (states_.size() > 1) streams.moments[1] = stream(own.states[1], states_[1]);
    streams.gradient = reinterpret_cast<const std::uint32_t*>(own.gradient);
    return streams;
  }
  // Zeros and small positive gradients: after any number of passes nothing is denormal, infinite or the root of a negative number.
  void fill(std::uint64_t begin, std::uint64_t end) {
    const optim::UpdateChunk own = chunk(begin, end, false);
    const auto clear = [&](std::byte* data, std::uint64_t bytes) {
      std::fill_n(data, data == nullptr ? 0 : bytes * own.elements, std::byte{0});
    };
    clear(own.weight, optim::weight_bytes(format_));
    clear(own.master, optim::master_bytes(format_));
    for (std::size_t i = 0; i < states_.size(); ++i) clear(own.states[i], states_[i]);
    auto* gradient = reinterpret_cast<float*>(gradient_.data());
    for (std::uint64_t i = begin; i < end; ++i) gradient[i] = 1e-3F * (1.0F + static_cast<float>(i % 1021) / 1021.0F);
  }

 private:
  optim::WeightFormat format_;
  std::vector<std::uint64_t> states_;
  Array weight_, master_, state0_, state1_, gradient_;
  std::vector<double> partials_;
};

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
  const std::uint64_t kept = optim::weight_bytes(result.format) + optim::master_bytes(result.format);
  for (const std::uint64_t state : optimizer.state_bytes()) result.written_bytes += state;
  result.read_bytes =
      result.written_bytes + sizeof(float) + (result.format == optim::WeightFormat::fp16 ? optim::master_bytes(result.format) : kept);
  result.written_bytes += kept;

  Arrays arrays(optimizer, options.parameters);
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
    return rate([&, ahead](std::uint64_t begin, std::uint64_t end) { move_bytes(arrays.streams(begin), end - begin, ahead); });
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

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
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
  report.cpu = cpu_name();
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
