// What training in memory comes to, beside a run that streamed: the reference loop of the tests on the run's config, data and order.
//   bench_in_memory CONFIG [--set KEY=VALUE]...    after: gsnake train CONFIG with the same settings
// Ends with 1 where a loss, a weight or a moment differs in a bit.
#include <fmt/format.h>
#include <torch/torch.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/store_options.h"
#include "core/bytes.h"
#include "data/open.h"
#include "greedysnake/error.h"
#include "greedysnake/models.h"
#include "memory/anonymous.h"
#include "plan/numerics.h"
#include "reference/config_options.h"
#include "run/machine.h"
#include "run/run_summary.h"
#include "store/store.h"
#include "train/session.h"

namespace {

using namespace gsnake;

void append(std::vector<reference::MicroBatch>& all, const Batch& batch, const TrainConfig& train) {
  const auto shaped = [&](const std::vector<std::int64_t>& ids) {
    return torch::tensor(ids, torch::kInt64).view({-1, train.micro_batch_size, train.sequence_length});
  };
  const torch::Tensor inputs = shaped(batch.inputs);
  const torch::Tensor labels = shaped(batch.labels);
  for (std::int64_t m = 0; m < inputs.size(0); ++m) all.push_back({inputs[m].clone(), labels[m].clone()});
}

double validate(reference::ReferenceLoop& loop, data::Validation& validation, const TrainConfig& train) {
  std::vector<reference::MicroBatch> all;
  Batch one;
  validation.stream.seek(0);
  for (std::int64_t i = 0; i < validation.batches; ++i) {
    validation.stream.next(one);
    append(all, one, train);
  }
  return loop.validation_loss(all);
}

// The metrics hold nine digits of a loss.
bool equal_as_printed(double streamed, double in_memory) { return run::nine_digits(in_memory) == run::Json(streamed); }

bool equal_on_ssd(store::Store& store, store::Kind kind, std::int64_t unit, const torch::Tensor& expected) {
  const std::uint64_t bytes = store.layout().kinds[static_cast<std::size_t>(kind)].padded_bytes[static_cast<std::size_t>(unit)];
  const memory::AnonymousMemory buffer(bytes);
  store.read({kind, static_cast<std::uint32_t>(unit), 0, bytes}, store.committed_slot(), buffer.data());
  return std::memcmp(buffer.data(), expected.contiguous().data_ptr(), static_cast<std::size_t>(expected.numel()) * sizeof(float)) == 0;
}

// Of weights and moments, the objects that differ.
int differing_objects(const Config& config, const reference::ReferenceLoop& loop) {
  const auto store = store::Store::open(checkpoint::store_options(config), {});
  int differing = 0;
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) {
    differing += equal_on_ssd(*store, store::Kind::weights, unit, loop.weights(unit)) ? 0 : 1;
    differing += equal_on_ssd(*store, store::Kind::moment1, unit, loop.moment1(unit)) ? 0 : 1;
    differing += equal_on_ssd(*store, store::Kind::moment2, unit, loop.moment2(unit)) ? 0 : 1;
  }
  return differing;
}

class Comparison {
 public:
  explicit Comparison(std::size_t steps) : every_((steps + 11) / 12) {
    fmt::print("{:>6}  {:>13}  {:>13}\n", "step", "from SSD", "in memory");
  }

  void loss(std::int64_t step, double streamed, double in_memory) { line(step, "", streamed, in_memory, static_cast<std::size_t>(step) % every_ == 0 || step == 1); }
  void validation(std::int64_t step, double streamed, double in_memory) { line(step, "  validation", streamed, in_memory, true); }
  [[nodiscard]] int differing() const { return differing_; }

 private:
  void line(std::int64_t step, const char* what, double streamed, double in_memory, bool shown) {
    const bool equal = equal_as_printed(streamed, in_memory);
    differing_ += equal ? 0 : 1;
    if (shown || !equal) fmt::print("{:>6}  {:>13.9}  {:>13.9}{}{}\n", step, streamed, in_memory, what, equal ? "" : "  DIFFERS");
    std::fflush(stdout);
  }

  std::size_t every_;
  int differing_ = 0;
};

int compare(const Config& config) {
  const run::RunHistory history = run::read_history(config.run.dir);
  const std::int64_t threads = config.train.compute_threads > 0 ? config.train.compute_threads : std::thread::hardware_concurrency();
  at::set_num_threads(static_cast<int>(threads));
  reference::ReferenceLoop loop(models::make(config.model), reference::options_of(config));
  data::BatchStream stream = data::open_training(config);
  const auto learning_rate = plan::numerics_of(config).policy.learning_rate;
  Comparison comparison(history.steps.size());
  std::chrono::duration<double> training{};
  Batch batch;
  for (const run::StepPoint& point : history.steps) {
    std::vector<reference::MicroBatch> micro_batches;
    stream.next(batch);
    append(micro_batches, batch, config.train);
    const auto begin = std::chrono::steady_clock::now();
    const double loss = loop.step(micro_batches, learning_rate(point.step - 1)).loss;
    training += std::chrono::steady_clock::now() - begin;
    comparison.loss(point.step, point.loss, loss);
    if (!point.validation_loss) continue;
    data::Validation validation = data::open_validation(config);
    comparison.validation(point.step, *point.validation_loss, validate(loop, validation, config.train));
  }
  const std::uint64_t peak = run::peak_rss_bytes();
  const int objects = differing_objects(config, loop);
  const run::RunSummary summary = run::summarize(history);
  fmt::print("losses that differ: {}; weights and moments: {} of {} objects differ in a bit\n", comparison.differing(), objects, 3 * loop.units());
  fmt::print("peak resident memory: {} from SSD, {} in memory\n", core::format_bytes(static_cast<std::uint64_t>(summary.rss_peak_bytes)), core::format_bytes(peak));
  fmt::print("time of a step: {:.0f} ms from SSD, {:.0f} ms in memory (no validation, no commits)\n", summary.step_ms,
             training.count() * 1e3 / static_cast<double>(std::max<std::size_t>(history.steps.size(), 1)));
  return comparison.differing() + objects == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  // As the command does: libgomp looks once, when it is loaded, and its threads would else spin while they wait.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && ::setenv("OMP_WAIT_POLICY", "passive", 1) == 0) ::execv("/proc/self/exe", argv);
  CLI::App app("Trains in memory what a run trained from SSD, and compares");
  std::string path;
  std::vector<std::string> overrides;
  app.add_option("CONFIG", path, "config file of the run")->required();
  app.add_option("--set", overrides, "as for gsnake train")->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI11_PARSE(app, argc, argv);
  try {
    return compare(Config::load(path, overrides));
  } catch (const Error& error) {
    fmt::print(stderr, "bench_in_memory: {}\n", error.what());
    return error.exit_status();
  }
}
