// gsnake generate: prompts of every kind, and what narrows the choice of tokens.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
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

  // Sampling from a folder writes nothing.
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
  const Json stopped = sample({"--prompt", "line", "--temperature", "2", "--seed", "5", "--stop-tokens", "255," + std::to_string(stop)});
  EXPECT_TRUE(stopped["stopped"].get<bool>());
  EXPECT_LE(stopped["tokens"].size(), first);
}

TEST_F(GenerateTest, AStopTextEndsTheTextBeforeIt) {
  const std::vector<std::string> call{"generate", "--run", "run", "--prompt", "line", "--temperature", "0", "--tokens", "12", "--log-level", "warn"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = call;
    words.insert(words.end(), more.begin(), more.end());
    return run(words).out;
  };
  const std::string whole = with({});
  const std::string added = whole.substr(4, whole.size() - 5);
  ASSERT_GE(added.size(), 8U);
  const std::string stop = added.substr(5, 2);
  EXPECT_EQ(with({"--stop", "never there", "--stop", stop}), "line" + added.substr(0, added.find(stop)) + "\n");
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a", "--stop", ""}), 2, "--stop is empty");
}

TEST_F(GenerateTest, SeveralPromptsComeInOrderAndAsIfAlone) {
  std::ofstream(folder_ / "prompts.jsonl") << "{\"prompt\": \"of two\"}\n\n{\"prompt\": \"z\", \"id\": 1}\n";
  std::string alone;
  for (const char* prompt : {"line", "of two", "z"}) alone += run({"generate", "--run", "run", "--prompt", prompt, "--tokens", "9", "--temperature", "0", "--log-level", "warn"}).out;
  const std::vector<std::string> call{"generate", "--run", "run", "--prompt", "line", "--prompts", "prompts.jsonl", "--tokens", "9", "--temperature", "0", "--log-level", "warn"};
  EXPECT_EQ(run(call).out, alone);
  std::vector<std::string> as_json = call;
  as_json.push_back("--json");
  std::istringstream lines(run(as_json).out);
  std::vector<std::string> prompts;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    prompts.push_back(json["prompt"]);
    EXPECT_EQ(json["tokens"].size(), 9U);
    EXPECT_NE(alone.find(json["prompt"].get<std::string>() + json["text"].get<std::string>() + "\n"), std::string::npos);
  }
  EXPECT_EQ(prompts, (std::vector<std::string>{"line", "of two", "z"}));
  std::ofstream(folder_ / "prompts.jsonl") << "{\"prompt\": \"a\"}\n{\"text\": \"b\"}\n";
  expect_one_error_line(run(call), 5, "prompts.jsonl:2: it has no \"prompt\"");
}

TEST_F(GenerateTest, TokensThatAFolderEndsWithEndTheText) {
  const Json whole = sample({"--prompt", "line", "--temperature", "2", "--seed", "5"});
  const auto tokens = whole["tokens"].get<std::vector<std::int64_t>>();
  ASSERT_EQ(run({"export", "--run", "run", "--to", "hf"}).status, 0);
  std::ofstream(folder_ / "hf/generation_config.json") << Json{{"eos_token_id", {tokens[6], 255}}};
  const auto of_folder = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words{"generate", "--model", "hf", "--prompt", "line", "--tokens", "12", "--temperature", "2", "--seed", "5", "--json", "--log-level", "warn"};
    words.insert(words.end(), more.begin(), more.end());
    return Json::parse(run(words).out);
  };
  EXPECT_EQ(of_folder({"--ignore-eos"})["tokens"], whole["tokens"]);
  const Json ended = of_folder({});
  EXPECT_TRUE(ended["stopped"].get<bool>());
  EXPECT_EQ(ended["tokens"].size(), static_cast<std::size_t>(std::find(tokens.begin(), tokens.end(), tokens[6]) - tokens.begin()));
}

TEST_F(GenerateTest, BudgetsCanBeSetAndAreKept) {
  const Outcome refused = run({"generate", "--run", "run", "--prompt", "line", "--set", "memory.device_budget=64 KiB", "--set", "memory.host_budget=1 MiB", "--log-level", "off"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.out, "");
  EXPECT_NE(refused.err.find("memory.device_budget"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("slots for weights"), std::string::npos) << refused.err;
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "line", "--set", "train.seed=3"}), 2, "memory.host_budget can be set");
  for (const char* nothing : {"memory.host_budget=0", "memory.host_budget=", "memory.host_budget=much", "memory.device="}) {
    expect_one_error_line(run({"generate", "--run", "run", "--prompt", "line", "--set", nothing}), 2, std::string("--set ") + nothing + ": ");
  }
}

// What a refusal asks for is enough, of keys and values and of temporaries, also where parts have to be small.
TEST_F(GenerateTest, TheBudgetsThatARefusalNamesAreEnough) {
  std::ofstream prompts(folder_ / "prompts.jsonl");
  for (int i = 0; i < 200; ++i) prompts << R"({"prompt": "line of a text that is long"})" << '\n';
  prompts.close();
  const auto within = [&](const std::string& device, const std::string& host) {
    return run({"generate", "--run", "run", "--prompts", "prompts.jsonl", "--tokens", "20", "--set", "memory.device_budget=" + device, "--set", "memory.host_budget=" + host, "--log-level", "off"});
  };
  for (const auto& [device, host] : {std::pair<std::string, std::string>{"4 MiB", "64 KiB"}, {"2.5 MiB", "9 MiB"}, {"3 MiB", "64 MiB"}, {"2 MiB", "64 MiB"}, {"64 KiB", "64 KiB"}}) {
    const Outcome refused = within(device, host);
    if (refused.status == 0) continue;
    ASSERT_EQ(refused.status, 3) << refused.err;
    const auto named = [&](const std::string& key, const std::string& otherwise) {
      const std::string before = "memory." + key + " to at least ";
      const std::size_t at = refused.err.find(before);
      if (at == std::string::npos) return otherwise;
      const std::size_t begin = at + before.size();
      return refused.err.substr(begin, refused.err.find_first_of("B", begin) + 1 - begin);
    };
    const bool tells_all = refused.err.find("and more for LibTorch's temporaries") == std::string::npos;
    EXPECT_EQ(tells_all, device != "64 KiB") << refused.err;
    if (!tells_all) continue;
    EXPECT_NE(refused.err.find("LibTorch's temporaries"), std::string::npos) << refused.err;
    const Outcome enough = within(named("device_budget", device), named("host_budget", host));
    EXPECT_EQ(enough.status, 0) << device << ", " << host << ": " << refused.err << enough.err;
  }
  EXPECT_EQ(within("4 MiB", "64 KiB").status, 3);
  EXPECT_EQ(within("2 MiB", "64 MiB").status, 3);
}

TEST_F(GenerateTest, AContextOfFewerTokensIsAllThatIsSeen) {
  const auto positions = [&](const std::string& context) {
    return Json::parse(run({"generate", "--run", "run", "--prompt", "a line of it", "--tokens", "1", "--context", context, "--json", "--log-level", "warn"}).out)["positions"];
  };
  EXPECT_EQ(positions("4"), 4) << "a prompt's last tokens count";
  EXPECT_EQ(positions("16"), 12);
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "line", "--context", "100000"}), 2, "a context of 100000 tokens");
}

TEST_F(GenerateTest, APromptOfAnotherTokenizerIsNamedByItsLine) {
  std::ofstream(folder_ / "narrow.txt") << std::string(2000, 'A');
  ASSERT_EQ(train({"data.train=narrow.txt", "model.vocab=100", "run.dir=narrow", "ssd.paths=narrow-ssd", "train.steps=1"}).status, 0);
  std::ofstream(folder_ / "prompts.jsonl") << "{\"prompt\": \"A\"}\n{\"prompt\": \"At\"}\n";
  expect_one_error_line(run({"generate", "--run", "narrow", "--prompts", "prompts.jsonl", "--log-level", "off"}), 5, "prompts.jsonl:2: token id 116 is not below model.vocab = 100");
}

TEST_F(GenerateTest, EvaluatesTextsAndQuestions) {
  std::ofstream(folder_ / "rows.jsonl") << "{\"text\": \"line 12 of the text\"}\n" << R"({"question": "line", "choices": ["12 of the text", "\u00ff\u00fe\u00ff\u00fe\u00ff\u00fe\u00ff"], "answer": 0})" << "\n";
  const Outcome outcome = run({"evaluate", "--run", "run", "--data", "rows.jsonl", "--json", "--log-level", "warn"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["texts"]["rows"], 1);
  EXPECT_EQ(json["texts"]["tokens"], 18);
  EXPECT_GT(json["texts"]["perplexity"].get<double>(), 1.0);
  EXPECT_EQ(json["choices"]["acc"], 1.0);
  EXPECT_EQ(json["choices"]["acc_norm"], 1.0);
  const Outcome text = run({"evaluate", "--run", "run", "--data", "rows.jsonl", "--log-level", "warn"});
  EXPECT_NE(text.out.find("perplexity"), std::string::npos);
  EXPECT_NE(text.out.find("acc_norm    1.0000"), std::string::npos) << text.out;
  ASSERT_EQ(run({"export", "--run", "run", "--to", "hf", "--dtype", "fp32"}).status, 0);
  const Json of_folder = Json::parse(run({"evaluate", "--model", "hf", "--context", std::to_string(json["texts"]["tokens"].get<int>()), "--data", "rows.jsonl", "--json", "--log-level", "warn"}).out);
  EXPECT_EQ(of_folder["texts"]["rows"], 1);
  std::ofstream(folder_ / "rows.jsonl") << "{\"text\": \"a\"}\n{\"choices\": 1}\n";
  expect_one_error_line(run({"evaluate", "--run", "run", "--data", "rows.jsonl", "--log-level", "off"}), 5, "rows.jsonl:2:");
}

TEST_F(GenerateTest, RefusesPromptsThatTheModelCannotRead) {
  expect_one_error_line(run({"generate", "--run", "run", "--prompt-tokens", "1,256", "--log-level", "off"}), 2,
                        "token id 256 of the prompt is not below model.vocab = 256");
  expect_one_error_line(run({"generate", "--run", "run", "--log-level", "off"}), 2, "--prompt is missing");
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a", "--tokenizer", "absent.json", "--log-level", "off"}), 5,
                        "absent.json");
}

TEST_F(GenerateTest, AFolderWithoutATokenizerReadsIdsAlone) {
  std::ofstream(folder_ / "ids.bin") << std::string(2000, '\1');
  ASSERT_EQ(train({"data.train=ids.bin", "model.vocab=300", "run.dir=wide", "ssd.paths=wide-ssd", "train.steps=1"}).status, 0);
  ASSERT_EQ(run({"export", "--run", "wide", "--to", "wide-hf"}).status, 0);
  const std::vector<std::string> call{"generate", "--model", "wide-hf", "--tokens", "2", "--log-level", "off"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = call;
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  expect_one_error_line(with({"--prompt", "a"}), 5, "cannot use wide-hf: it has no tokenizer.json; name the model's with --tokenizer");
  EXPECT_EQ(with({"--prompt", "a", "--tokenizer", "bytes"}).status, 0);
  EXPECT_EQ(with({"--prompt-tokens", "97"}).status, 0);
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
