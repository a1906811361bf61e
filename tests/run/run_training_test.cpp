// A run as a program of its own makes it: with units that the library does not know.
#include "greedysnake/run.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "greedysnake/log.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kVocab = 256;
constexpr std::int64_t kHidden = 16;

torch::Tensor parameter(std::initializer_list<std::int64_t> sizes) { return torch::empty(sizes, torch::kMeta); }

class Table final : public EmbeddingUnit {
 public:
  Table() { table_ = register_parameter("table", parameter({kVocab, kHidden})); }
  torch::Tensor forward(const torch::Tensor& ids) override { return torch::embedding(table_, ids); }

 private:
  torch::Tensor table_;
};

class Logits final : public HeadUnit {
 public:
  Logits() { weight_ = register_parameter("weight", parameter({kVocab, kHidden})); }
  torch::Tensor logits(const torch::Tensor& hidden) override { return torch::linear(hidden, weight_); }

 private:
  torch::Tensor weight_;
};

Model bigrams() {
  Model model;
  model.kinds = {{"table", std::make_shared<Table>()}, {"logits", std::make_shared<Logits>()}};
  model.units = {0, 1};
  model.hidden = kHidden;
  model.vocab = kVocab;
  model.max_context = 64;
  model.initialize = [](torch::nn::Module& module, std::int64_t) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& one : module.parameters()) one.normal_(0.0, 0.1);
  };
  return model;
}

class RunTraining : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = std::filesystem::temp_directory_path() / "gsnake-run-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 200; ++i) text << "a snake that eats what it needs, and no more; ";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] Config config(std::int64_t steps) const {
    return Config::parse(R"(
      model = { vocab = 256, context = 64, hidden = 16, heads = 1 }
      data = { train = ["text.txt"], validation_split = 0.1 }
      train = { micro_batches = 2, micro_batch_size = 2, sequence_length = 32, validate_every = 2, validation_batches = 1 }
      optimizer = { learning_rate = 1e-2 }
      memory = { host_budget = "32 MiB", device_budget = "32 MiB" }
      run = { dir = "run" }
    )", folder_, {"train.steps=" + std::to_string(steps)});
  }
  [[nodiscard]] nlohmann::json last_line() const {
    std::ifstream file(folder_ / "run/metrics.jsonl");
    std::string last;
    for (std::string line; std::getline(file, line);) last = line;
    return nlohmann::json::parse(last);
  }

  std::filesystem::path folder_;
};

TEST_F(RunTraining, TrainsUnitsOfOnesOwnAndTellsOfEachStep) {
  RunRequest request;
  request.make_model = bigrams;
  std::vector<double> losses;
  std::vector<bool> validated;
  request.on_step = [&](const StepResult& result, std::optional<double> validation_loss) {
    EXPECT_EQ(result.step, static_cast<std::int64_t>(losses.size()) + 1);
    losses.push_back(result.loss);
    validated.push_back(validation_loss.has_value());
  };
  const RunOutcome outcome = run_training(config(5), request);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.steps, 5);
  EXPECT_EQ(outcome.step, 5);
  ASSERT_EQ(losses.size(), 5U);
  EXPECT_LT(losses.back(), losses.front());
  EXPECT_FLOAT_EQ(static_cast<float>(*outcome.loss), static_cast<float>(losses.back()));
  EXPECT_EQ(validated, (std::vector<bool>{false, true, false, true, true}));
  EXPECT_TRUE(outcome.validation_loss);
  EXPECT_EQ(nlohmann::json::parse(outcome.end_line), last_line());

  const RunOutcome again = run_training(config(7), request);
  EXPECT_EQ(again.steps, 2);
  EXPECT_EQ(again.step, 7);
  EXPECT_EQ(losses.size(), 7U);
}

TEST_F(RunTraining, EndsWithWhatItsCallerThrows) {
  RunRequest request;
  request.make_model = bigrams;
  request.on_step = [](const StepResult& result, std::optional<double>) {
    if (result.step == 3) throw std::runtime_error("enough");
  };
  EXPECT_THROW(run_training(config(5), request), std::runtime_error);
  EXPECT_THAT(last_line()["error"].get<std::string>(), testing::HasSubstr("enough"));
  request.on_step = {};
  EXPECT_EQ(run_training(config(5), request).step, 5) << "the run goes on from its last commit";
}

volatile sig_atomic_t caught = 0;

TEST_F(RunTraining, StopsOnASignalAndGivesTheHandlersBack) {
  struct sigaction own {};
  own.sa_handler = [](int) { caught = caught + 1; };
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGTERM, &own, &before), 0);
  RunRequest request;
  request.make_model = bigrams;
  request.on_step = [](const StepResult& result, std::optional<double>) {
    if (result.step == 2) ::raise(SIGTERM);
  };
  const RunOutcome outcome = run_training(config(1'000'000), request);
  EXPECT_EQ(outcome.exit_status, 128 + SIGTERM);
  EXPECT_EQ(caught, 0);
  ::raise(SIGTERM);
  EXPECT_EQ(caught, 1);
  ::sigaction(SIGTERM, &before, nullptr);
}

TEST_F(RunTraining, StopsWhenAnotherThreadAsks) {
  std::stop_source stop;
  RunRequest request;
  request.make_model = bigrams;
  request.stop = stop.get_token();
  std::thread other;
  request.on_step = [&](const StepResult& result, std::optional<double>) {
    if (result.step == 2) other = std::thread([&] { stop.request_stop(); });
  };
  const RunOutcome outcome = run_training(config(1'000'000), request);
  other.join();
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_GE(*outcome.step, 2);
  EXPECT_EQ(last_line()["committed_step"], *outcome.step);

  request.stop = {};
  request.on_step = {};
  const RunOutcome again = run_training(config(*outcome.step + 3), request);
  EXPECT_EQ(again.steps, 3) << "it goes on where it was stopped";
  EXPECT_FALSE(again.stopped);
}

TEST_F(RunTraining, TrainsNoStepWhenItIsAskedToStopBefore) {
  std::stop_source stop;
  stop.request_stop();
  RunRequest request;
  request.make_model = bigrams;
  request.stop = stop.get_token();
  const RunOutcome outcome = run_training(config(5), request);
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.steps, 0);
}

TEST_F(RunTraining, LeavesSignalsAloneWhenToldTo) {
  struct sigaction own {};
  own.sa_handler = [](int) { caught = caught + 1; };
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGINT, &own, &before), 0);
  caught = 0;
  RunRequest request;
  request.make_model = bigrams;
  request.take_signals = false;
  request.on_step = [](const StepResult& result, std::optional<double>) {
    if (result.step == 2) ::raise(SIGINT);
    struct sigaction now {};
    ::sigaction(SIGPIPE, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
  };
  const RunOutcome outcome = run_training(config(4), request);
  ::sigaction(SIGINT, &before, nullptr);
  EXPECT_EQ(caught, 1);
  EXPECT_EQ(outcome.step, 4);
  EXPECT_FALSE(outcome.stopped);
}

TEST_F(RunTraining, LogsToTheCallersSink) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, const std::string& message) { lines.push_back(message); });
  RunRequest request;
  request.make_model = bigrams;
  testing::internal::CaptureStderr();
  run_training(config(2), request);
  set_log_sink({});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(lines, testing::Contains(testing::StartsWith("step 2/2")));
}

}  // namespace
}  // namespace gsnake::test
