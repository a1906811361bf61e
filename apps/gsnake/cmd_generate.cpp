#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "greedysnake/error.h"
#include "greedysnake/generator.h"
#include "output.h"
#include "train/metrics.h"

namespace gsnake::command {
namespace {

constexpr std::int64_t kByteValues = 256;
constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD: a token that is no byte

struct Arguments {
  std::string run_dir;
  std::string model_dir;
  std::string prompt;
  std::int64_t tokens = 200;
  SamplingOptions sampling;
  bool json = false;
};

std::string text_of(std::int64_t token) {
  return token < kByteValues ? std::string(1, static_cast<char>(static_cast<unsigned char>(token))) : kReplacement;
}

// Calls `take` with each token that is drawn.
void sample(Generator& generator, const Arguments& arguments, const std::function<void(std::int64_t)>& take) {
  std::vector<std::int64_t> tokens;
  for (const char character : arguments.prompt) tokens.push_back(static_cast<unsigned char>(character));
  for (std::int64_t i = 0; i < arguments.tokens; ++i) {
    tokens.push_back(generator.next(tokens, arguments.sampling));
    take(tokens.back());
  }
}

void print_text(Generator& generator, const Arguments& arguments) {
  print(arguments.prompt);
  sample(generator, arguments, [](std::int64_t token) { print(text_of(token)); });
  print("\n");
}

void print_json(Generator& generator, const Arguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  std::string text;
  std::vector<std::int64_t> tokens;
  sample(generator, arguments, [&](std::int64_t token) {
    text += text_of(token);
    tokens.push_back(token);
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  const nlohmann::ordered_json result = {
      {"run", arguments.run_dir},
      {"prompt", arguments.prompt},
      {"text", text},
      {"tokens", tokens},
      {"temperature", arguments.sampling.temperature},
      {"top_k", arguments.sampling.top_k},
      {"seed", arguments.sampling.seed},
      {"seconds", train::nine_digits(elapsed.count())},
  };
  // Bytes that a model draws need not be UTF-8; `tokens` has them as they are.
  print(result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void check(const Arguments& arguments) {
  if (!arguments.model_dir.empty()) {
    throw Error(ErrorKind::usage, "--model " + arguments.model_dir + ": this build reads no Hugging Face folders yet; give a run with --run");
  }
  if (arguments.run_dir.empty()) throw Error(ErrorKind::usage, "--run is missing: name the run directory to sample from");
  if (arguments.prompt.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
}

int run(const Arguments& arguments) {
  check(arguments);
  Generator generator(arguments.run_dir);
  (arguments.json ? print_json : print_text)(generator, arguments);
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Sample text from a run's last commit, streaming its weights");
  command->add_option("--run", arguments->run_dir, "run directory");
  command->add_option("--model", arguments->model_dir, "Hugging Face folder (not yet)");
  command->add_option("--prompt", arguments->prompt, "text to go on from")->required();
  command->add_option("--tokens", arguments->tokens, "how many tokens to add")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--temperature", arguments->sampling.temperature, "0: always the likeliest token; 1: as the model says")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-k", arguments->sampling.top_k, "draw from the k likeliest tokens; 0: from all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", arguments->sampling.seed, "the same seed gives the same text")->capture_default_str();
  command->add_flag("--json", arguments->json, "print JSON at the end: the text, its tokens, how they were drawn");
  command->callback([arguments, &action] { action = {[arguments] { return run(*arguments); }, true}; });
}

}  // namespace gsnake::command
