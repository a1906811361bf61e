// What a step costs the host: from its submission until every task has been handed out and has come back, where no task does any work.
// Nothing limits it but the machine's own hand-overs between threads, of which `hand_over` measures one.
//   bench_step --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
// cpu_per_task is of all threads; wall_per_task depends on what else the machine does.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/executor.h"

namespace gsnake::runtime {
namespace {

constexpr int kUnits = 26;
constexpr int kMicroBatches = 4;
constexpr int kChunksPerObject = 8;

class NoUnits final : public ComputeBackend {
 public:
  void run(const device::ComputeScope&, const ComputeCall&) override {}
};

class NoUpdates final : public optim::Optimizer {
 public:
  [[nodiscard]] optim::WeightFormat weight_format() const override { return optim::WeightFormat::fp32; }
  [[nodiscard]] std::vector<std::uint64_t> state_bytes() const override { return {4, 4}; }
  [[nodiscard]] bool update(const optim::StepScalars&, const optim::UpdateChunk&) const override { return true; }
  void restore_weight(const optim::UpdateChunk&) const override {}
};

// Answers every request at once; reads find whatever memory holds.
class NoTransfers final : public io::IoEngine {
 public:
  explicit NoTransfers(std::unique_ptr<io::IoEngine> inside) : inside_(std::move(inside)) {}
  int add_file(const io::File& file) override { return inside_->add_file(file); }
  io::RegistrationReport register_buffer(std::span<std::byte>) override { return {true}; }
  void withdraw_buffer(std::span<std::byte>) override {}
  [[nodiscard]] io::RegistrationReport registration() const override { return {true}; }
  [[nodiscard]] bool try_submit(std::span<const io::Request> requests) override {
    for (const io::Request& request : requests) request.completion->on_complete({});
    return true;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return 0; }
  [[nodiscard]] std::size_t capacity() const noexcept override { return inside_->capacity(); }
  [[nodiscard]] const std::string& name() const noexcept override { return inside_->name(); }

 private:
  const std::unique_ptr<io::IoEngine> inside_;
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path().string() + "/gsnake-bench-XXXXXX";
};

schedule::Problem problem_of(bool on_ssd, double delay) {
  schedule::Problem problem;
  for (int unit = 0; unit < kUnits; ++unit) add_unit(problem, {.elements = kChunksPerObject * schedule::kGrain});
  problem.activation_bytes = 4096;
  problem.ids_bytes = 64;
  problem.micro_batches = kMicroBatches;
  problem.delay = delay;
  if (!on_ssd) problem.weights = problem.optimizer = {0.0, 1.0};
  problem.chunk_elements = schedule::kGrain;
  return problem;
}

std::unique_ptr<store::Store> make_store(const schedule::Problem& problem, const std::string& folder) {
  store::Layout layout;
  for (const store::Kind kind : {store::Kind::weights, store::Kind::moment1, store::Kind::moment2}) {
    auto& own = layout.kinds[static_cast<std::size_t>(kind)];
    own.logical_bytes = problem.elements();
    for (std::uint64_t& bytes : own.logical_bytes) bytes *= sizeof(float);
    own.padded_bytes = own.logical_bytes;
  }
  store::StoreOptions options;
  options.run_dir = options.ssd_paths.emplace_back(folder + "/run");
  options.stripe_weights = {1.0};
  options.engine = io::EngineChoice::threads;
  options.engine_options.depth = 128;
  options.wrap_engine = [](std::unique_ptr<io::IoEngine> engine) { return std::make_unique<NoTransfers>(std::move(engine)); };
  return store::Store::create(options, layout);
}

schedule::PoolSizes roomy(const schedule::Problem& problem) {
  schedule::PoolSizes sizes = schedule::minimum_pools(problem);
  for (int& slots : sizes) slots += slots > 0 ? 2 * kChunksPerObject : 0;
  return sizes;
}

struct Bench {
  explicit Bench(const schedule::Problem& problem)
      : program(schedule::build_program(problem, roomy(problem))), device(device::make_cpu_device()), store(make_store(problem, folder.path())) {
    ExecutorOptions options;
    options.optimizers.assign(kUnits, &updates);
    options.decay_runs.resize(kUnits);
    options.policy.learning_rate = [](std::int64_t) { return 0.0; };
    options.hash_writes = options.verify_reads = false;
    executor = std::make_unique<Executor>(program, *device, *store, units, std::move(options));
    executor->wait_end(executor->load());
    for (StepBatch& batch : batches) batch.losses.resize(kMicroBatches);
  }
  void step() {
    StepBatch& batch = batches[static_cast<std::size_t>(steps % 2)];
    batch.step = ++steps;
    const Executor::Ticket ticket = executor->train(batch);
    if (steps > 1) executor->wait_results(ticket - 1);
  }
  [[nodiscard]] double tasks() const {
    return static_cast<double>(program.graph(program.delayed ? schedule::Variant::train : schedule::Variant::train_first).tasks.size());
  }

  const TemporaryFolder folder;
  const schedule::Program program;
  NoUnits units;
  const NoUpdates updates;
  const std::unique_ptr<device::Device> device;
  const std::unique_ptr<store::Store> store;
  std::array<StepBatch, 2> batches;
  std::int64_t steps = 0;
  std::unique_ptr<Executor> executor;  // last: it borrows the rest
};

double cpu_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

void report(benchmark::State& state, double tasks, double cpu) {
  using benchmark::Counter;
  state.counters["cpu_per_task"] = cpu / tasks;
  state.counters["wall_per_task"] = Counter(tasks, Counter::kIsRate | Counter::kInvert);
}

void step_host_work(benchmark::State& state, bool on_ssd, double delay) {
  Bench bench(problem_of(on_ssd, delay));
  constexpr int kWarmUp = 10;
  for (int i = 0; i < kWarmUp; ++i) bench.step();
  const double before = cpu_seconds();
  for (auto _ : state) bench.step();
  report(state, static_cast<double>(state.iterations()) * bench.tasks(), cpu_seconds() - before);
  state.counters["tasks"] = bench.tasks();
}

// One thread wakes another and is woken by it: two hand-overs.
void hand_over(benchmark::State& state) {
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;  // 0: ours, 1: the other's, 2: over
  std::thread other([&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return turn != 0; });
      if (turn == 2) return;
      turn = 0;
      changed.notify_all();
    }
  });
  const double before = cpu_seconds();
  for (auto _ : state) {
    std::unique_lock lock(mutex);
    turn = 1;
    changed.notify_all();
    changed.wait(lock, [&] { return turn == 0; });
  }
  {
    const std::lock_guard lock(mutex);
    turn = 2;
    changed.notify_all();
  }
  other.join();
  report(state, 2.0 * static_cast<double>(state.iterations()), cpu_seconds() - before);
}

BENCHMARK(hand_over)->UseRealTime();
BENCHMARK_CAPTURE(step_host_work, in_host_memory, false, 0.0)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(step_host_work, in_host_memory_delayed, false, 0.5)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(step_host_work, on_ssd, true, 0.0)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(step_host_work, on_ssd_delayed, true, 0.5)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace gsnake::runtime

BENCHMARK_MAIN();
