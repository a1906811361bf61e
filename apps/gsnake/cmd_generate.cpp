#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "core/errors.h"
#include "greedysnake/generator.h"

namespace gsnake::command {
namespace {

constexpr std::int64_t kByteValues = 256;
constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD: a token that is no byte

struct Arguments {
  std::string run_dir;
  std::string prompt;
  std::int64_t tokens = 200;
  SamplingOptions sampling;
};

void print(std::int64_t token) {
  if (token < kByteValues) {
    std::fputc(static_cast<int>(token), stdout);
  } else {
    std::fputs(kReplacement, stdout);
  }
  if (std::fflush(stdout) != 0) core::throw_storage("write to", "stdout", core::errno_code(), "");
}

int run(const Arguments& arguments) {
  if (arguments.prompt.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
  Generator generator(arguments.run_dir);
  std::vector<std::int64_t> tokens;
  for (const char character : arguments.prompt) tokens.push_back(static_cast<unsigned char>(character));
  for (const std::int64_t token : tokens) print(token);
  for (std::int64_t i = 0; i < arguments.tokens; ++i) {
    tokens.push_back(generator.next(tokens, arguments.sampling));
    print(tokens.back());
  }
  std::fputc('\n', stdout);
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Sample text from a run's last commit, streaming its weights");
  command->add_option("--run", arguments->run_dir, "run directory")->required();
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
  command->callback([arguments, &action] { action = {[arguments] { return run(*arguments); }, true}; });
}

}  // namespace gsnake::command
