// "Train your own" of README.md, run as it stands there but for the number of steps and tokens, on a folder of a small model.
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

const std::vector<std::string> kSmaller{"train.steps=3", "train.sequence_length=32", "train.validate_every=2", "memory.host_budget=256 MiB",
                                        "memory.device_budget=256 MiB"};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Words of a command line, of which some are in double quotes; what follows a # is none.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream in(line);
  for (std::string word; in >> word && !word.starts_with('#');) {
    while (word.starts_with('"') && (word.size() == 1 || !word.ends_with('"'))) {
      std::string more;
      if (!(in >> more)) break;
      word += " " + more;
    }
    words.push_back(word.starts_with('"') ? word.substr(1, word.size() - 2) : word);
  }
  return words;
}

class ReadmeTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    std::string section = read(GSNAKE_SOURCE_DIR "/README.md");
    section = section.substr(section.find("### Train your own"));
    commands_ = block(section, "```\n");
    std::ofstream(folder_ / "own.toml") << block(section, "```toml\n");
    make_folder();
    std::filesystem::copy_file(std::string(GSNAKE_TOKENIZER_FIXTURES) + "/gpt2.json", folder_ / "hf/tokenizer.json");
    std::ofstream documents(folder_ / "docs.jsonl");
    for (int i = 0; i < 200; ++i)
      documents << R"({"text": "In the beginning God created the heaven and the earth, )" << i << " times.\"}\n";
  }

  static std::string block(const std::string& text, const std::string& fence) {
    const auto begin = text.find(fence) + fence.size();
    return text.substr(begin, text.find("```\n", begin) - begin);
  }

  // A Hugging Face folder of a Llama that has seen one step.
  void make_folder() {
    ASSERT_EQ(train({"model.family=llama", "model.kv_heads=1", "model.vocab=640", "model.context=64", "train.steps=1", "run.dir=seed",
                     "ssd.paths=seed-ssd"})
                  .status,
              0);
    const Outcome exported = run({"export", "--run", "seed", "--to", "hf"});
    ASSERT_EQ(exported.status, 0) << exported.err;
  }

  // What scripts/tokenize would write of tokens 0, 1, ...: Megatron's pair of one document.
  void write_tokens() {
    std::string index("MMIDIDX\0\0", 9);
    const auto put = [](std::string& bytes, std::uint64_t value, int width) {
      for (int i = 0; i < width; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
    };
    constexpr std::uint64_t kTokens = 8000;
    for (const auto& [value, width] : {std::pair{1ULL, 8},
                                       {8ULL, 1},
                                       {1ULL, 8},
                                       {2ULL, 8},
                                       {static_cast<unsigned long long>(kTokens), 4},
                                       {0ULL, 8},
                                       {0ULL, 8},
                                       {1ULL, 8}}) {
      put(index, value, width);
    }
    std::string tokens;
    for (std::uint64_t i = 0; i < kTokens; ++i) put(tokens, i * i % 600, 2);
    std::ofstream(folder_ / "docs.idx", std::ios::binary) << index;
    std::ofstream(folder_ / "docs.bin", std::ios::binary) << tokens;
  }

  void run_commands() {
    std::istringstream lines(commands_);
    int run_so_far = 0;
    for (std::string line; std::getline(lines, line);) {
      auto words = words_of(line);
      if (words.empty() || words.front() != "build/release/bin/gsnake") continue;
      words.erase(words.begin());
      if (words.front() == "train") {
        for (const auto& change : kSmaller) words.insert(words.end(), {"--set", change});
      }
      const Outcome outcome = run(words);
      ASSERT_EQ(outcome.status, 0) << line << "\n" << outcome.err;
      ++run_so_far;
    }
    EXPECT_EQ(run_so_far, 3) << commands_;
    EXPECT_EQ(metrics("run/own").back()["exit_status"], 0);
    EXPECT_TRUE(std::filesystem::exists(folder_ / "own/model.safetensors") ||
                std::filesystem::exists(folder_ / "own/model.safetensors.index.json"));
    EXPECT_EQ(read(folder_ / "own/tokenizer.json"), read(folder_ / "hf/tokenizer.json"));
  }

  std::string commands_;
};

TEST_F(ReadmeTest, TrainYourOwnWorksOnATokenFile) {
  write_tokens();
  run_commands();
}

TEST_F(ReadmeTest, TrainYourOwnWorksOnTextThatTheScriptTokenized) {
  const std::filesystem::path root = GSNAKE_SOURCE_DIR;
  if (!std::filesystem::exists(root / ".deps/tokenizers/wheels.txt")) {
    GTEST_SKIP() << "scripts/tokenize has not made its environment yet (it installs a wheel): run it once";
  }
  std::istringstream lines(commands_);
  std::string line;
  std::getline(lines, line);
  ASSERT_TRUE(line.starts_with("scripts/tokenize ")) << line;
  ASSERT_EQ(std::system(("cd " + folder_.string() + " && " + root.string() + "/" + line).c_str()), 0);
  run_commands();
}

}  // namespace
}  // namespace gsnake::test
