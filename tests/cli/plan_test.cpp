// gsnake plan, simulate, and what train makes of a machine's profile.
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "cli/command.h"
#include "small_machine.h"

namespace gsnake::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class PlanTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);  // nothing was measured there, whatever other tests did
    std::ofstream(folder_ / "machine.toml") << kSmallMachine;
  }

  Outcome plan(const std::vector<std::string>& changes, std::vector<std::string> options = {}) { return call("plan", changes, std::move(options)); }
  Outcome simulate(const std::vector<std::string>& changes, std::vector<std::string> options = {}) { return call("simulate", changes, std::move(options)); }

  Outcome call(const std::string& command, const std::vector<std::string>& changes, std::vector<std::string> options) {
    std::vector<std::string> arguments{command, "config.toml", "--machine", "machine.toml"};
    for (const std::string& change : changes) arguments.insert(arguments.end(), {"--set", change});
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run(arguments);
  }

  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(PlanTest, SimulatesAConfigBesideOtherOrders) {
  const Outcome outcome = simulate({}, {"--json", "--timeline"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["what"], "simulation");
  const Json& prediction = json["prediction"];
  EXPECT_EQ(prediction["machine"], "a small machine");
  EXPECT_GT(prediction["step_ms"], 0.0);
  double path = 0.0;
  for (const Json& part : prediction["critical_path"]) path += part["ms"].get<double>();
  EXPECT_NEAR(path, prediction["step_ms"].get<double>(), 1e-6 * path);
  EXPECT_GT(prediction["timeline"].size(), 100U);
  EXPECT_GT(prediction["wear"]["days"], 0.0);
  ASSERT_EQ(json["side_by_side"].size(), 4U);
  const auto per_second = [&](std::size_t i) { return json["side_by_side"][i]["tokens_per_second"].get<double>(); };
  EXPECT_GT(per_second(0), per_second(1));  // the drive binds, and horizontal reads weights for each micro-batch
  EXPECT_EQ(json["side_by_side"][3]["micro_batches"], 1);
  ASSERT_GE(json["batches"].size(), 4U);
  EXPECT_EQ(files(), (std::vector<std::string>{"config.toml", "corpus.txt", "machine.toml"}));
}

TEST_F(PlanTest, SimulatesToATableAndATrace) {
  const Outcome outcome = simulate({}, {"--trace", "two_steps.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("on a small machine: a step takes"), HasSubstr("binds"), HasSubstr("side by side"), HasSubstr("GreedySnake as published")));
  const Json trace = Json::parse(text_of("two_steps.json"));
  EXPECT_GT(trace["traceEvents"].size(), 100U);
}

TEST_F(PlanTest, WritesAConfigThatLeavesNothingOpenAndTrains) {
  const Outcome outcome = plan({"placement.weights=auto", "placement.optimizer=auto", "train.micro_batches=auto", "memory.host_budget=auto"}, {"--write", "chosen.toml", "--json", "--tokens", "200"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["what"], "plan");
  const Json& config = json["config"];
  EXPECT_GE(config["train"]["micro_batches"].get<int>() * 2 * 32, 200);
  EXPECT_TRUE(config["placement"]["weights"].is_object());
  EXPECT_TRUE(config["memory"]["host_budget"].is_number());
  std::vector<std::string> keys;
  for (const Json& choice : json["choices"]) keys.push_back(choice["key"]);
  EXPECT_THAT(keys, testing::Contains("train.micro_batches"));
  EXPECT_FALSE(json["buys"].empty());
  const Outcome trained = run({"train", "chosen.toml", "--machine", "machine.toml"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(metrics().front()["choices"].size(), 0U);
}

// The same choices and bits, whether they are made before or by the run.
TEST_F(PlanTest, TrainsWithChoicesAndPredictsEachStep) {
  ASSERT_EQ(train({"run.dir=plain", "ssd.paths=plain/ssd"}).status, 0);
  EXPECT_TRUE(metrics("plain")[1]["predicted_ms"].is_null());  // there is no profile of this machine in the test's cache
  const Outcome outcome = train({"placement.weights=auto", "placement.optimizer=auto", "placement.activations=auto", "placement.gradients=auto", "train.delay=auto"}, {"--machine", "machine.toml"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("chosen: placement.weights"), HasSubstr("predicted on \"a small machine\""), HasSubstr(" binds, at ")));
  const std::vector<Json> lines = metrics();
  EXPECT_FALSE(lines.front()["choices"].empty());
  EXPECT_EQ(lines.front()["prediction"]["machine"], "a small machine");
  for (std::size_t step = 1; step <= 6; ++step) EXPECT_GT(lines[step]["predicted_ms"], 0.0);
  EXPECT_EQ(losses(), losses("plain"));
}

TEST_F(PlanTest, ChoosesWhatTheConfigLeavesOutIfAskedTo) {
  const Outcome outcome = train({"memory.device_budget=auto"}, {"--auto", "--machine", "machine.toml"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json start = metrics().front();
  EXPECT_EQ(start["config"]["memory"]["host_budget"], 64 << 20);          // as the config says
  EXPECT_EQ(start["config"]["placement"]["activations"]["host"], 0.0);    // likewise
  EXPECT_EQ(start["config"]["train"]["micro_batches"], 2);
  std::string choices = start["choices"].dump();
  EXPECT_THAT(choices, AllOf(HasSubstr("placement.weights"), HasSubstr("placement.optimizer"), HasSubstr("memory.device_budget")));
  EXPECT_THAT(choices, testing::Not(HasSubstr("placement.activations")));
}

// A profile says what computes there, whatever computes here.
TEST_F(PlanTest, PlansForTheDeviceOfTheProfile) {
  std::string with_gpu = kSmallMachine;
  with_gpu.replace(with_gpu.find("device = \"cpu\""), 14, "device = \"a GPU\"");
  std::ofstream(folder_ / "machine.toml") << with_gpu;
  const Outcome outcome = plan({"memory.device_budget=auto"}, {"--auto", "--json", "--write", "chosen.toml"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["config"]["memory"]["device"], "cuda:0");
  EXPECT_EQ(json["choices"][0]["key"], "memory.device");
  EXPECT_THAT(text_of("chosen.toml"), HasSubstr("device = 'cuda:0'"));
}

TEST_F(PlanTest, RefusesTokensWhereTheMicroBatchesAreGiven) { expect_one_error_line(plan({}, {"--tokens", "1000"}), 2, "train.micro_batches is 2"); }

TEST_F(PlanTest, ChoosesByWhatItMeasuresAndKeepsThat) {
  const Surroundings own{{"XDG_CACHE_HOME=" + (folder_ / "cache").string()}};
  const std::vector<std::string> open{"plan", "config.toml", "--set", "placement.weights=auto", "--json", "--save-machine", "saved.toml", "--seconds", "2"};
  const Outcome first = run(open, own);
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("measuring this machine"));
  EXPECT_THAT(text_of("saved.toml"), AllOf(HasSubstr("[[ssds]]"), HasSubstr("key = \"gpt2 block, 2 x 32 tokens, fp32 in fp32, 1 threads")));
  const Outcome second = run(open, own);
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_THAT(second.err, testing::Not(HasSubstr("measuring this machine")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ssd"));
  ASSERT_EQ(train({}, {}, own).status, 0);
  EXPECT_GT(metrics()[3]["predicted_ms"], 0.0);
  // The run's page keeps that, whatever is known by now.
  for (const auto& kept : std::filesystem::directory_iterator(folder_ / "cache/gsnake/machines")) {
    std::string profile = text_of("cache/gsnake/machines/" + kept.path().filename().string());
    for (std::size_t at = profile.find("backward = 0."); at != std::string::npos; at = profile.find("backward = 0.")) profile[at + 11] = '9';
    std::ofstream(kept.path()) << profile;
  }
  ASSERT_EQ(run({"report", "run"}, own).status, 0);
  const std::string page = text_of("run/report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("\"step_ms\":" + metrics().front()["prediction"]["step_ms"].dump()), HasSubstr("<section id=\"timeline\"")));
}

// SmolLM2's shape: a step's checkpoints alone are more than the host budget, where nothing says that they go elsewhere.
TEST_F(PlanTest, FindsAWayWhereTheDefaultsDoNotFit) {
  std::ofstream(folder_ / "config.toml") << R"(
model = { family = "llama", layers = 30, hidden = 576, heads = 9, kv_heads = 3, intermediate = 1536, vocab = 49152, context = 2048, tie_embeddings = true }
data.train = ["corpus.txt"]
train = { sequence_length = 2048, micro_batches = 8 }
memory = { host_budget = "512 MiB", device_budget = "1 GiB" }
)";
  const Outcome refused = simulate({}, {"--alone"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_THAT(refused.err, HasSubstr("host memory:"));
  const Outcome found = plan({}, {"--auto", "--json"});
  ASSERT_EQ(found.status, 0) << found.err;
  const Json json = Json::parse(found.out);
  std::uint64_t host = 0;
  std::uint64_t device = 0;
  for (const Json& item : json["prediction"]["memory"]) (item["tier"] == "host" ? host : device) += item["bytes"].get<std::uint64_t>();
  EXPECT_LE(host, 512ULL << 20);
  EXPECT_LE(device, 1ULL << 30);
  EXPECT_EQ(json["config"]["train"]["micro_batches"], 8);
}

TEST_F(PlanTest, SimulatesOneOfSeveralRanks) {
  const Outcome outcome = simulate({"train.micro_batches=4"}, {"--ranks", "4", "--local-ranks", "2", "--link", "20 MB/s", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  const Json& prediction = json["prediction"];
  EXPECT_EQ(prediction["ranks"], 4);
  EXPECT_EQ(prediction["micro_batches"], 4);
  EXPECT_EQ(prediction["tokens"], 4 * 2 * 32);
  EXPECT_GT(prediction["lanes"]["collective"]["busy_ms"], 0.0);
  EXPECT_EQ(json["side_by_side"][3]["micro_batches"], 4);  // one of each rank
  for (const Json& point : json["batches"]) EXPECT_EQ(point["micro_batches"].get<int>() % 4, 0);
  const Json slower = Json::parse(simulate({"train.micro_batches=4"}, {"--ranks", "4", "--local-ranks", "2", "--link", "5 MB/s", "--json", "--alone"}).out);
  EXPECT_GT(slower["prediction"]["lanes"]["collective"]["limit_ms"], 3.0 * prediction["lanes"]["collective"]["limit_ms"].get<double>());
}

TEST_F(PlanTest, PlansForAsManyRanksAsTorchrunSays) {
  const Surroundings torchrun{{"RANK=1", "WORLD_SIZE=3", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=3"}};
  const Outcome outcome = run({"plan", "config.toml", "--machine", "machine.toml", "--link", "50 MB/s", "--set", "train.micro_batches=auto", "--set", "placement.weights=auto", "--json"}, torchrun);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["prediction"]["ranks"], 3);
  EXPECT_EQ(json["config"]["train"]["micro_batches"].get<int>() % 3, 0);
  std::vector<std::string> bought;
  for (const Json& buy : json["buys"]) bought.push_back(buy["what"]);
  EXPECT_THAT(bought, testing::Contains("the link between ranks 10% faster"));
}

TEST_F(PlanTest, RefusesRanksThatItCannotPlanFor) {
  expect_one_error_line(simulate({}, {"--ranks", "2"}), 2, "has no link.per_second");
  expect_one_error_line(simulate({"train.micro_batches=3"}, {"--ranks", "2", "--link", "1 GB/s"}), 2, "2 ranks take equal shares");
  expect_one_error_line(simulate({}, {"--ranks", "2", "--local-ranks", "3", "--link", "1 GB/s"}), 2, "--local-ranks 3: there are 2 ranks in all");
  expect_one_error_line(simulate({}, {"--ranks", "2", "--link", "fast"}), 2, "--link fast: must be bytes a second");
}

TEST_F(PlanTest, RefusesWhatItCannotUse) {
  expect_one_error_line(run({"simulate", "config.toml"}), 2, "this machine was never measured for these SSD paths: run `gsnake plan`");
  std::ofstream(folder_ / "machine.toml") << "name = \"x\"\n[cpu]\ncoars = 2\n";
  expect_one_error_line(simulate({}), 2, "unknown key cpu.coars in machine.toml:3");
  std::ofstream(folder_ / "machine.toml") << "name = \"x\"\n";
  expect_one_error_line(simulate({}), 2, "says nothing of how fast fp32 is computed");
  expect_one_error_line(run({"simulate", "config.toml", "--machine", "none.toml"}), 5, "none.toml");
}

TEST_F(PlanTest, RefusesWhatNoChoiceMakesFit) {
  const Outcome outcome = plan({"placement.weights=auto", "memory.host_budget=100 KiB"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("memory.host_budget"));
}

}  // namespace
}  // namespace gsnake::test
