#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "core/log.h"
#include "greedysnake/error.h"
#include "greedysnake/evaluate.h"
#include "model_arguments.h"
#include "output.h"
#include "run/metrics.h"
#include "run/phase_watch.h"
#include "run/progress_line.h"
#include "run/signals.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  ModelArguments model;
  std::string data;
  EvaluateOptions options;
  bool json = false;
};

// On a terminal one line of stderr that is rewritten; elsewhere a line of the log every now and then.
class Progress {
 public:
  explicit Progress(const run::StopSignals& signals) : signals_(signals) {}
  ~Progress() {
    if (shown_) std::fputs("\n", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void tell(std::size_t done, std::size_t all) {
    if (const int signal = signals_.requested(); signal != 0) throw run::Stopped(signal);
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> elapsed = now - begin_;
    const double left = done == 0 ? 0.0 : elapsed.count() * static_cast<double>(all - done) / static_cast<double>(done);
    const std::string text = fmt::format("{} of {} rows, {} left", done, all, run::format_duration(left));
    if (::isatty(STDERR_FILENO) == 1) {
      std::fputs(("\r\033[K" + text).c_str(), stderr);
      shown_ = true;
    } else if (now - told_ >= kBetweenLines) {
      spdlog::info("{}", text);
      told_ = now;
    }
  }

 private:
  static constexpr std::chrono::seconds kBetweenLines{10};

  const run::StopSignals& signals_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point told_ = begin_;
  bool shown_ = false;
};

std::string text_of(const EvaluationReport& report) {
  std::string text;
  if (report.texts.rows > 0 && report.texts.tokens == 0) {
    text += fmt::format("perplexity  nothing to score (0 tokens of {} texts)\n", report.texts.rows);
  } else if (report.texts.rows > 0) {
    text += fmt::format("perplexity  {:.4f}  ({} tokens of {} texts; {:.6f} nats a token)\n", report.texts.perplexity, report.texts.tokens, report.texts.rows, report.texts.negative_log_likelihood);
  }
  if (report.choices.rows > 0) {
    const ChoicesReport& choices = report.choices;
    text += fmt::format("acc         {:.4f}  +- {:.4f}  ({} questions)\n", choices.accuracy, choices.accuracy_error, choices.rows);
    text += fmt::format("acc_norm    {:.4f}  +- {:.4f}\n", choices.normalised_accuracy, choices.normalised_accuracy_error);
  }
  return text + fmt::format("{:.1f} s, {} passes over the weights\n", report.seconds, report.passes);
}

Json json_of(const Arguments& arguments, const EvaluationReport& report) {
  Json json{{"run", arguments.model.name()}, {"data", arguments.data}};
  if (report.texts.rows > 0) {
    json["texts"] = {{"rows", report.texts.rows},
                     {"tokens", report.texts.tokens},
                     {"negative_log_likelihood", run::nine_digits(report.texts.negative_log_likelihood)},
                     {"perplexity", run::nine_digits(report.texts.perplexity)}};
  }
  if (report.choices.rows > 0) {
    json["choices"] = {{"rows", report.choices.rows},
                       {"acc", run::nine_digits(report.choices.accuracy)},
                       {"acc_stderr", run::nine_digits(report.choices.accuracy_error)},
                       {"acc_norm", run::nine_digits(report.choices.normalised_accuracy)},
                       {"acc_norm_stderr", run::nine_digits(report.choices.normalised_accuracy_error)}};
  }
  json["passes"] = report.passes;
  json["read_bytes"] = report.read_bytes;
  json["seconds"] = run::nine_digits(report.seconds);
  return json;
}

int run(Arguments arguments) {
  check(arguments.model, "evaluate");
  const run::StopSignals signals;
  try {
    Evaluator evaluator = arguments.model.run_dir.empty() ? Evaluator::of_folder(arguments.model.model_dir, arguments.model.options) : Evaluator(arguments.model.run_dir, arguments.model.options);
    const std::unique_ptr<tokenizer::Tokenizer> tokenizer = tokenizer_of(arguments.model, evaluator.config());
    EvaluationReport report;
    {
      Progress progress(signals);
      arguments.options.progress = [&](std::size_t done, std::size_t all) { progress.tell(done, all); };
      report = evaluator.evaluate(arguments.data, [&](const std::string& text) { return tokenizer->encode(text); }, arguments.options);
    }
    print(arguments.json ? json_of(arguments, report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text_of(report));
    return 0;
  } catch (const run::Stopped&) {
    return run::exit_status_of(signals.requested());
  }
}

}  // namespace

void add_evaluate(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("evaluate", "Perplexity of texts and answers to multiple-choice questions, of a run's last commit or a Hugging Face folder");
  add_model(*command, arguments->model);
  command->add_option("--data", arguments->data, R"(JSONL: {"text": TEXT}, or {"question": TEXT, "choices": [TEXT...], "answer": INDEX} a line)")->required();
  command->add_option("--stride", arguments->options.stride, "tokens from one window of a long text to the next (default: half the context)")->check(CLI::PositiveNumber);
  command->add_option("--pass-tokens", arguments->options.pass_tokens, "tokens that are computed in a pass over the weights")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
