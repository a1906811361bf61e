#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "convert/carried_files.h"
#include "core/errors.h"
#include "greedysnake/error.h"
#include "greedysnake/generator.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/model_config.h"
#include "output.h"
#include "ssd_option.h"
#include "run/metrics.h"
#include "run/phase_watch.h"
#include "run/signals.h"
#include "tokenizer/tokenizer.h"
#include "transfer.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string run_dir;
  std::vector<std::string> ssd_paths;
  std::string model_dir;
  std::string device;
  std::optional<std::string> prompt;
  std::vector<std::int64_t> prompt_tokens;
  std::string tokenizer;
  std::int64_t tokens = 200;
  std::vector<std::int64_t> stop;
  SamplingOptions sampling;
  bool json = false;
};

// The run's own, or that of the folder it was imported from: bytes that mean nothing to an imported model would be the alternative.
std::string tokenizer_name(const Arguments& arguments, const Config& config) {
  if (!arguments.tokenizer.empty()) return arguments.tokenizer;
  if (config.data.tokenizer != "bytes") return config.data.tokenizer;
  const std::vector<std::string> carried = convert::carried_files(config.run.dir);
  const auto found = std::find_if(carried.begin(), carried.end(), [](const std::string& path) { return path.ends_with("/tokenizer.json"); });
  return found == carried.end() ? config.data.tokenizer : *found;
}

// A run to sample from, and how its tokens are written.
struct Sampler {
  explicit Sampler(const Arguments& given)
      : arguments(given), generator(given.run_dir, given.ssd_paths, given.device), tokenizer(tokenizer::load(tokenizer_name(given, generator.config()))) {
    prompt = given.prompt ? tokenizer->encode(*given.prompt) : given.prompt_tokens;
    if (prompt.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
  }

  // Calls `take` with each token that is drawn, but for the one that ends the text; returns whether one did. A signal ends it: run::Stopped.
  bool draw(const run::StopSignals& signals, const std::function<void(std::int64_t)>& take) {
    std::vector<std::int64_t> tokens = prompt;
    for (std::int64_t i = 0; i < arguments.tokens; ++i) {
      if (const int signal = signals.requested(); signal != 0) throw run::Stopped(signal);
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

void print_text(Sampler& sampler, const run::StopSignals& signals) {
  if (sampler.arguments.prompt) print(*sampler.arguments.prompt);
  sampler.draw(signals, [&](std::int64_t token) { print(sampler.tokenizer->decode(token)); });
  print("\n");
}

void print_json(Sampler& sampler, const run::StopSignals& signals) {
  const Arguments& arguments = sampler.arguments;
  const auto begin = std::chrono::steady_clock::now();
  std::string text;
  std::vector<std::int64_t> tokens;
  const bool stopped = sampler.draw(signals, [&](std::int64_t token) {
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
      {"seconds", run::nine_digits(elapsed.count())},
  };
  // Bytes that a model draws need not be UTF-8; `tokens` has them as they are.
  print(result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void check(const Arguments& arguments) {
  if (arguments.run_dir.empty() == arguments.model_dir.empty()) {
    throw Error(ErrorKind::usage, "name what to sample from: a run directory with --run, or a Hugging Face folder with --model");
  }
  if (!arguments.prompt && arguments.prompt_tokens.empty()) {
    throw Error(ErrorKind::usage, "--prompt is missing: give a text to go on from, or token ids with --prompt-tokens");
  }
  check(arguments.sampling);
  if (arguments.prompt && arguments.prompt->empty())
    throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
}

// A run that exists as long as this: its files are open, so that the sampler goes on without their names.
class TemporaryRun {
 public:
  TemporaryRun() {
    std::error_code error;
    const std::filesystem::path place = std::filesystem::temp_directory_path(error);
    if (error) {
      const char* named = std::getenv("TMPDIR");
      core::throw_storage("use the folder for temporary files", named == nullptr ? "/tmp" : named, error, "set TMPDIR to a folder with room for the weights");
    }
    std::string pattern = (place / "gsnake-generate-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      core::throw_storage("make the folder", pattern, core::errno_code(), "set TMPDIR to a folder with room for the weights");
    }
    path_ = pattern;
  }
  TemporaryRun(const TemporaryRun&) = delete;
  TemporaryRun& operator=(const TemporaryRun&) = delete;
  ~TemporaryRun() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Exactly the folder's weights, with the least optimizer state there is beside them.
Config sampling_config(const std::string& folder, const TemporaryRun& run) {
  const std::int64_t context = std::min(hf::read_model_config(folder).context, TrainConfig{}.sequence_length);
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  return Config::parse("", ".", {"model.from=" + quoted(folder), "run.dir=" + quoted(run / "run"), "ssd.paths=[" + quoted(run / "ssd") + "]",
                                 "run.durability=off", "train.dtype=fp32", "optimizer.name=sgd", "train.sequence_length=" + std::to_string(context)});
}

int sample_folder(Arguments arguments, const run::StopSignals& signals) {
  auto temporary = std::make_unique<TemporaryRun>();
  const Config config = sampling_config(arguments.model_dir, *temporary);
  const int status = transfer(signals, "importing " + arguments.model_dir, [&](const TransferProgress& progress) {
    import_model(models::make(config.model), config, {false, progress});
    return std::string();
  });
  if (status != 0) return status;
  arguments.run_dir = config.run.dir;
  Sampler sampler(arguments);
  temporary.reset();
  (arguments.json ? print_json : print_text)(sampler, signals);
  return 0;
}

int run(const Arguments& arguments) {
  check(arguments);
  const run::StopSignals signals;
  try {
    if (!arguments.model_dir.empty()) return sample_folder(arguments, signals);
    Sampler sampler(arguments);
    (arguments.json ? print_json : print_text)(sampler, signals);
    return 0;
  } catch (const run::Stopped&) {
    return run::exit_status_of(signals.requested());
  }
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Sample text from a run's last commit, streaming its weights");
  command->add_option("--run", arguments->run_dir, "run directory");
  add_ssd_paths(*command, arguments->ssd_paths);
  command->add_option("--model", arguments->model_dir, "Hugging Face folder, whose weights are copied to a temporary run (TMPDIR)");
  command->add_option("--device", arguments->device, "cpu or cuda:N, in place of the run's memory.device");
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
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
