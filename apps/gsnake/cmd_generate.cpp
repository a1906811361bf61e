#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "generate/rows.h"
#include "generate/text_end.h"
#include "greedysnake/error.h"
#include "greedysnake/generator.h"
#include "model_arguments.h"
#include "output.h"
#include "run/metrics.h"
#include "run/phase_watch.h"
#include "run/signals.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  ModelArguments model;
  std::vector<std::string> prompts;
  std::string prompts_file;
  std::vector<std::int64_t> prompt_tokens;
  std::vector<std::string> stop;
  std::vector<std::int64_t> stop_tokens;
  bool ignores_end = false;
  bool no_drafts = false;
  std::int64_t tokens = 200;
  SamplingOptions sampling;
  bool json = false;
};

// A prompt and what is drawn behind it.
struct Text {
  std::string prompt;
  std::vector<std::int64_t> ids;  // of it
  generate::TextStream stream;
  std::string added;
  std::vector<std::int64_t> tokens;
  bool stopped = false;
  bool ended = false;
  std::chrono::steady_clock::time_point first;  // when its first token was there
};

class Texts {
 public:
  Texts(const Arguments& arguments, Generator& generator, const run::StopSignals& signals)
      : arguments_(arguments), generator_(generator), signals_(signals), tokenizer_(tokenizer_of(arguments.model, generator.config(), arguments.prompt_tokens.empty())), ends_(arguments.stop_tokens) {
    if (!arguments.ignores_end) {
      const std::vector<std::int64_t> ends = generate::end_tokens(files_beside(arguments.model, generator.config()));
      ends_.insert(ends_.end(), ends.begin(), ends.end());
    }
    for (const std::string& prompt : arguments.prompts) add(prompt, tokenizer_->encode(prompt));
    if (!arguments.prompts_file.empty()) {
      for (const generate::Row& row : generate::read_rows(arguments.prompts_file, R"({"prompt": "Once"})")) {
        const std::string prompt = generate::text_of(arguments.prompts_file, row, {"prompt"});
        if (prompt.empty()) generate::refuse_row(arguments.prompts_file, row, "its \"prompt\" is empty");
        std::vector<std::int64_t> ids = tokenizer_->encode(prompt);
        if (ids.empty()) generate::refuse_row(arguments.prompts_file, row, "its \"prompt\" has no tokens");
        generate::check_ids(arguments.prompts_file, row, ids, generator.config().model.vocab);
        add(prompt, std::move(ids));
      }
    }
    if (!arguments.prompt_tokens.empty()) add("", arguments.prompt_tokens);
  }

  void generate() {
    GenerateOptions options;
    options.sampling = arguments_.sampling;
    options.tokens = arguments_.tokens;
    options.drafts = !arguments_.no_drafts;
    options.take = [this](std::size_t i, std::int64_t token) { return take(texts_[i], token); };
    std::vector<std::vector<std::int64_t>> prompts;
    for (const Text& text : texts_) prompts.push_back(text.ids);
    begin_ = std::chrono::steady_clock::now();
    generator_.generate(prompts, options);
    for (Text& text : texts_) end(text);  // of no tokens at all
    if (arguments_.json && texts_.size() == 1) print(to_json(texts_[0]).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  [[nodiscard]] bool streams() const { return texts_.size() == 1 && !arguments_.json; }

  void add(std::string prompt, std::vector<std::int64_t> ids) {
    if (ids.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
    texts_.push_back({std::move(prompt), std::move(ids), generate::TextStream(arguments_.stop), {}, {}, false, false, {}});
  }

  // The prompt comes with the first of what is added: a call that is refused prints nothing.
  void show(Text& text, const std::string& more) {
    text.added += more;
    if (!streams()) return;
    print(prompt_shown_ ? more : text.prompt + more);
    prompt_shown_ = true;
  }

  bool take(Text& text, std::int64_t token) {
    if (const int signal = signals_.requested(); signal != 0) throw run::Stopped(signal);
    if (text.tokens.empty()) text.first = std::chrono::steady_clock::now();
    text.stopped = std::find(ends_.begin(), ends_.end(), token) != ends_.end();
    if (!text.stopped) {
      text.tokens.push_back(token);
      show(text, text.stream.add(tokenizer_->decode(token)));
      text.stopped = text.stream.stopped();
    }
    if (text.stopped || static_cast<std::int64_t>(text.tokens.size()) == arguments_.tokens) end(text);
    return !text.stopped;
  }

  void end(Text& text) {
    if (text.ended) return;
    show(text, text.stream.finish());
    text.ended = true;
    if (streams()) print("\n");
    tell_ended();
  }

  // Of several texts, those that have ended, in the order of their prompts.
  void tell_ended() {
    for (; texts_.size() > 1 && told_ < texts_.size() && texts_[told_].ended; ++told_) {
      const Text& text = texts_[told_];
      print(arguments_.json ? to_json(text).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n" : text.prompt + text.added + "\n");
    }
  }

  // Bytes that a model draws need not be UTF-8; `tokens` has them as they are.
  [[nodiscard]] Json to_json(const Text& text) const {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
    const GenerationCounts counts = generator_.counts();
    return {{"run", arguments_.model.name()},
            {"prompt", text.prompt.empty() ? Json() : Json(text.prompt)},
            {"prompt_tokens", text.ids},
            {"text", text.added},
            {"tokens", text.tokens},
            {"stopped", text.stopped},
            {"temperature", arguments_.sampling.temperature},
            {"top_k", arguments_.sampling.top_k},
            {"top_p", arguments_.sampling.top_p},
            {"seed", arguments_.sampling.seed},
            {"seconds", run::nine_digits(elapsed.count())},
            {"first_token_seconds", text.tokens.empty() ? Json() : Json(run::nine_digits(std::chrono::duration<double>(text.first - begin_).count()))},
            {"passes", counts.passes},
            {"positions", counts.positions},
            {"drafted", counts.drafted},
            {"accepted", counts.accepted},
            {"read_bytes", counts.read_bytes}};
  }

  const Arguments& arguments_;
  Generator& generator_;
  const run::StopSignals& signals_;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_;
  std::vector<std::int64_t> ends_;  // tokens that end a text
  std::vector<Text> texts_;
  std::size_t told_ = 0;
  bool prompt_shown_ = false;
  std::chrono::steady_clock::time_point begin_;
};

void check_prompts(const Arguments& arguments) {
  if (arguments.prompts.empty() && arguments.prompts_file.empty() && arguments.prompt_tokens.empty())
    throw Error(ErrorKind::usage, "--prompt is missing: give a text to go on from (again for more), token ids with --prompt-tokens, or a file of prompts with --prompts");
  for (const std::string& prompt : arguments.prompts) {
    if (prompt.empty()) throw Error(ErrorKind::usage, "--prompt is empty: give at least one character to go on from");
  }
  for (const std::string& stop : arguments.stop) {
    if (stop.empty()) throw Error(ErrorKind::usage, "--stop is empty: give the text that ends what is generated");
  }
}

int run(Arguments arguments) {
  check(arguments.model, "sample from");
  check_prompts(arguments);
  check(arguments.sampling);
  const run::StopSignals signals;
  try {
    Generator generator = arguments.model.run_dir.empty() ? Generator::of_folder(arguments.model.model_dir, arguments.model.options) : Generator(arguments.model.run_dir, arguments.model.options);
    Texts(arguments, generator, signals).generate();
    return 0;
  } catch (const run::Stopped&) {
    return run::exit_status_of(signals.requested());
  }
}

void add_sampling(CLI::App& command, SamplingOptions& sampling) {
  command.add_option("--temperature", sampling.temperature, "0: always the likeliest token; 1: as the model says")->check(CLI::NonNegativeNumber)->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "draw from the k likeliest tokens; 0: from all")->check(CLI::NonNegativeNumber)->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "draw from the likeliest tokens that together reach this probability; 1: from all")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  command.add_option("--seed", sampling.seed, "the same seed gives the same text")->capture_default_str();
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Sample text from a run's last commit or a Hugging Face folder");
  add_model(*command, arguments->model);
  auto* prompt = command->add_option("--prompt", arguments->prompts, "text to go on from (can be repeated: all are gone on with at once)")->allow_extra_args(false);
  auto* file = command->add_option("--prompts", arguments->prompts_file, "JSONL of more: {\"prompt\": TEXT} a line");
  command->add_option("--prompt-tokens", arguments->prompt_tokens, "token ids to go on from, in place of a text: 464,3797")->delimiter(',')->excludes(prompt)->excludes(file);
  command->add_option("--tokens", arguments->tokens, "how many tokens to add, at most")->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))->capture_default_str();
  add_sampling(*command, arguments->sampling);
  command->add_option("--stop", arguments->stop, "text that ends what is generated, itself left out (can be repeated)")->allow_extra_args(false);
  command->add_option("--stop-tokens", arguments->stop_tokens, "token ids that do")->delimiter(',');
  command->add_flag("--ignore-eos", arguments->ignores_end, "go on behind the tokens that end a text as generation_config.json or config.json has them");
  command->add_flag("--no-drafts", arguments->no_drafts, "guess no tokens: one a pass over the weights");
  command->add_flag("--json", arguments->json, "print JSON at the end: the text, its tokens, how they were drawn; of several prompts a line each");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
