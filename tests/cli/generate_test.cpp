// gsnake generate: prompts of every kind, and what narrows the choice of tokens.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "cli/command.h"

namespace gsnake::test {
namespace {

class GenerateTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    ASSERT_EQ(train().status, 0);
  }

  Json sample(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"generate", "--run", "run", "--json", "--tokens", "12", "--log-level", "warn"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }
};

TEST_F(GenerateTest, ATextAndItsIdsAreOnePrompt) {
  const Json text = sample({"--prompt", "line", "--temperature", "0"});
  const Json ids = sample({"--prompt-tokens", "108,105,110,101", "--temperature", "0"});
  EXPECT_EQ(text["prompt_tokens"], Json({108, 105, 110, 101}));
  EXPECT_EQ(ids["tokens"], text["tokens"]);
  EXPECT_EQ(ids["tokens"].size(), 12U);
  EXPECT_TRUE(ids["prompt"].is_null());
}

TEST_F(GenerateTest, EndsQuietlyWhenNobodyReadsOnAndOnASignal) {
  const std::string command = "cd '" + folder_.string() + "' && (" GSNAKE_COMMAND " generate --run run --prompt line --tokens 100000 2> err; echo $? > status) | head -c 1 > /dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  int status = -1;
  std::ifstream(folder_ / "status") >> status;
  EXPECT_EQ(status, 128 + SIGPIPE);
  EXPECT_EQ(std::filesystem::file_size(folder_ / "err"), 0U);

  // Sampling from a folder keeps a run in a folder of its own meanwhile.
  ASSERT_EQ(run({"export", "--run", "run", "--to", "hf"}).status, 0);
  std::filesystem::create_directory(folder_ / "tmp");
  Process process(folder_, "stopped", {"generate", "--model", "hf", "--tokenizer", "bytes", "--prompt", "line", "--tokens", "1000000"}, {{"TMPDIR=tmp"}, nullptr});
  std::error_code absent;
  while (std::filesystem::file_size(folder_ / "stopped.stdout", absent) == 0 || absent) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  process.signal(SIGHUP);
  EXPECT_EQ(process.wait().status, 128 + SIGHUP);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "tmp"));
}

TEST_F(GenerateTest, TheLikeliestTokenAloneIsGreedy) {
  const Json greedy = sample({"--prompt", "line", "--temperature", "0"});
  EXPECT_EQ(sample({"--prompt", "line", "--temperature", "1", "--top-p", "0"})["tokens"], greedy["tokens"]);
  EXPECT_EQ(sample({"--prompt", "line", "--temperature", "1", "--top-k", "1"})["tokens"], greedy["tokens"]);
  EXPECT_NE(sample({"--prompt", "line", "--temperature", "3"})["tokens"], greedy["tokens"]);
}

TEST_F(GenerateTest, AStopTokenEndsTheText) {
  const Json whole = sample({"--prompt", "line", "--temperature", "2", "--seed", "5"});
  EXPECT_FALSE(whole["stopped"].get<bool>());
  const auto tokens = whole["tokens"].get<std::vector<std::int64_t>>();
  const auto stop = tokens[6];
  const auto first = static_cast<std::size_t>(std::find(tokens.begin(), tokens.end(), stop) - tokens.begin());
  const Json stopped = sample({"--prompt", "line", "--temperature", "2", "--seed", "5", "--stop", "255," + std::to_string(stop)});
  EXPECT_TRUE(stopped["stopped"].get<bool>());
  EXPECT_LE(stopped["tokens"].size(), first);
}

TEST_F(GenerateTest, RefusesPromptsThatTheModelCannotRead) {
  expect_one_error_line(run({"generate", "--run", "run", "--prompt-tokens", "1,256", "--log-level", "off"}), 2,
                        "token id 256 of the prompt is not below model.vocab = 256");
  expect_one_error_line(run({"generate", "--run", "run", "--log-level", "off"}), 2, "--prompt is missing");
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a", "--tokenizer", "absent.json", "--log-level", "off"}), 5,
                        "absent.json");
}

TEST_F(GenerateTest, ARunsOwnTokenizerReadsThePrompt) {
  const std::string tokenizer = std::string(GSNAKE_TOKENIZER_FIXTURES) + "/llama3.json";
  std::ofstream tokens(folder_ / "a.bin", std::ios::binary);
  for (int i = 0; i < 4000; ++i) tokens << static_cast<char>(i % 251) << static_cast<char>(i % 2);
  tokens.close();
  const Outcome trained =
      train({"data.train=a.bin", "data.tokenizer=" + tokenizer, "model.vocab=640", "run.dir=bpe", "ssd.paths=bpe-ssd", "train.steps=2"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  std::ifstream file(std::string(GSNAKE_TOKENIZER_FIXTURES) + "/llama3.cases.json");
  const Json expected = Json::parse(file)[0];
  const Outcome outcome = run({"generate", "--run", "bpe", "--json", "--prompt", expected["text"], "--tokens", "3", "--temperature", "0"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["prompt_tokens"], expected["ids"]);
  EXPECT_EQ(json["tokens"].size(), 3U);
}

}  // namespace
}  // namespace gsnake::test
