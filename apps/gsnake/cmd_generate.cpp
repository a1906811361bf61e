#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "greedysnake/error.h"
#include "greedysnake/generator.h"
#include "output.h"
#include "tokenizer/tokenizer.h"
#include "train/metrics.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string run_dir;
  std::string model_dir;
  std::optional<std::string> prompt;
  std::vector<std::int64_t> prompt_tokens;
  std::string tokenizer;
  std::int64_t tokens = 200;
  std::vector<std::int64_t> stop;
  SamplingOptions sampling;
  bool json = false;
};

// A run to sample from, and how its tokens are written.
struct Sampler {
  explicit Sampler(const Arguments& given)
      : arguments(given),
        generator(given.run_dir),
        tokenizer(tokenizer::load(given.tokenizer.empty() ? generator.config().data.tokenizer : given.tokenizer)) {
    prompt = given.prompt ? tokenizer->encode(*given.prompt) : given.prompt_tokens;
    if (prompt.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
  }

  // Calls `take` with each token that is drawn, but for the one that ends the text; returns whether one did.
  bool draw(const std::function<void(std::int64_t)>& take) {
    std::vector<std::int64_t> tokens = prompt;
    for (std::int64_t i = 0; i < arguments.tokens; ++i) {
      tokens.push_back(generator.next(tokens, arguments.sampling));
      if (std::find(arguments.stop.begin(), arguments.stop.end(), tokens.back()) != arguments.stop.end()) return true;
      take(tokens.back());
    }
    return false;
  }

  const Arguments& arguments;
  Generator generator;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  std::vector<std::int64_t> prompt;
};

void print_text(Sampler& sampler) {
  if (sampler.arguments.prompt) print(*sampler.arguments.prompt);
  sampler.draw([&](std::int64_t token) { print(sampler.tokenizer->decode(token)); });
  print("\n");
}

void print_json(Sampler& sampler) {
  const Arguments& arguments = sampler.arguments;
  const auto begin = std::chrono::steady_clock::now();
  std::string text;
  std::vector<std::int64_t> tokens;
  const bool stopped = sampler.draw([&](std::int64_t token) {
    text += sampler.tokenizer->decode(token);
    tokens.push_back(token);
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  const nlohmann::ordered_json result = {
      {"run", arguments.run_dir},
      {"prompt", arguments.prompt ? nlohmann::ordered_json(*arguments.prompt) : nlohmann::ordered_json()},
      {"prompt_tokens", sampler.prompt},
      {"text", text},
      {"tokens", tokens},
      {"stopped", stopped},
      {"temperature", arguments.sampling.temperature},
      {"top_k", arguments.sampling.top_k},
      {"top_p", arguments.sampling.top_p},
      {"seed", arguments.sampling.seed},
      {"seconds", train::nine_digits(elapsed.count())},
  };
  // Bytes that a model draws need not be UTF-8; `tokens` has them as they are.
  print(result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void check(const Arguments& arguments) {
  if (!arguments.model_dir.empty()) {
    throw Error(ErrorKind::usage,
                "--model " + arguments.model_dir + ": this build reads no Hugging Face folders yet; give a run with --run");
  }
  if (arguments.run_dir.empty()) throw Error(ErrorKind::usage, "--run is missing: name the run directory to sample from");
  if (!arguments.prompt && arguments.prompt_tokens.empty()) {
    throw Error(ErrorKind::usage, "--prompt is missing: give a text to go on from, or token ids with --prompt-tokens");
  }
  if (arguments.prompt && arguments.prompt->empty())
    throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
}

int run(const Arguments& arguments) {
  check(arguments);
  Sampler sampler(arguments);
  (arguments.json ? print_json : print_text)(sampler);
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Sample text from a run's last commit, streaming its weights");
  command->add_option("--run", arguments->run_dir, "run directory");
  command->add_option("--model", arguments->model_dir, "Hugging Face folder (not yet)");
  auto* prompt = command->add_option("--prompt", arguments->prompt, "text to go on from");
  command->add_option("--prompt-tokens", arguments->prompt_tokens, "token ids to go on from, in place of a text: 464,3797")
      ->delimiter(',')
      ->excludes(prompt);
  command->add_option("--tokenizer", arguments->tokenizer, "\"bytes\" or a tokenizer.json (default: data.tokenizer of the run)");
  command->add_option("--tokens", arguments->tokens, "how many tokens to add")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--temperature", arguments->sampling.temperature, "0: always the likeliest token; 1: as the model says")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-k", arguments->sampling.top_k, "draw from the k likeliest tokens; 0: from all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--top-p", arguments->sampling.top_p, "draw from the likeliest tokens that together reach this probability; 1: from all")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--stop", arguments->stop, "token ids that end the text")->delimiter(',');
  command->add_option("--seed", arguments->sampling.seed, "the same seed gives the same text")->capture_default_str();
  command->add_flag("--json", arguments->json, "print JSON at the end: the text, its tokens, how they were drawn");
  command->callback([arguments, &action] { action = {[arguments] { return run(*arguments); }, true}; });
}

}  // namespace gsnake::command
