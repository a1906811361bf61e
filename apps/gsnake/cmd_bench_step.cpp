#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "choice_option.h"
#include "commands.h"
#include "device/block_bench.h"
#include "output.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const bench::Range& range) { return {{"median", range.median}, {"low", range.low}, {"high", range.high}}; }

Json to_json(const bench::BlockReport& report) {
  const bench::BlockOptions& options = report.options;
  Json parts = Json::array();
  for (const bench::BlockPart& part : report.parts) {
    parts.push_back({{"part", part.what}, {"flops", part.flops}, {"ms", to_json(part.ms)}, {"teraflops", part.flops / part.ms.median / 1e9}});
  }
  return {{"device", options.device},
          {"family", word_of(options.model.family)},
          {"hidden", options.model.hidden},
          {"heads", options.model.heads},
          {"tokens", options.rows * options.tokens},
          {"dtype", word_of(options.dtype)},
          {"compute_dtype", report.compute_dtype},
          {"warm_up", 3},
          {"deterministic", options.deterministic},
          {"repeats", options.repeats},
          {"forward_ms", to_json(report.forward_ms)},
          {"recompute_and_backward_ms", to_json(report.backward_ms)},
          {"limit_ms", to_json(report.limit_ms)},
          {"ratio", to_json(report.ratio)},
          {"model_flop_utilisation", report.utilisation},
          {"parts", std::move(parts)}};
}

std::string text_of(const bench::Range& range, int digits) { return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", range.median, digits, range.low, digits, range.high, digits); }

std::string to_text(const bench::BlockReport& report) {
  const bench::BlockOptions& options = report.options;
  std::string text = fmt::format("{}: a {} block, hidden {}, {} heads, {} tokens, {} computed in {}; 3 warm-ups, {} repeats; median (lowest..highest)\n", options.device,
                                 word_of(options.model.family), options.model.hidden, options.model.heads, options.rows * options.tokens, word_of(options.dtype),
                                 report.compute_dtype, options.repeats);
  text += fmt::format("{:<44} {:<26} {}\n", "alone", "ms", "TFLOP/s");
  for (const bench::BlockPart& part : report.parts) text += fmt::format("{:<44} {:<26} {:.3f}\n", part.what, text_of(part.ms, 3), part.flops / part.ms.median / 1e9);
  text += fmt::format("{:<44} {}\n", "the limit: all of these", text_of(report.limit_ms, 3));
  text += fmt::format("{:<44} {}\n", "the block: forward", text_of(report.forward_ms, 3));
  text += fmt::format("{:<44} {}\n", "the block: recomputation and backward", text_of(report.backward_ms, 3));
  text += fmt::format("block over limit {}; of the fastest part's rate, without the recomputation {:.2f}\n", text_of(report.ratio, 3), report.utilisation);
  return text;
}

struct Arguments {
  bench::BlockOptions options;
  bool json = false;
};

int run(const Arguments& arguments) {
  bench::BlockOptions options = arguments.options;
  options.model.layers = 1;
  options.model.vocab = 16;
  options.model.context = options.tokens;
  const bench::BlockReport report = bench::bench_block(options);
  print(arguments.json ? to_json(report).dump(2) + "\n" : to_text(report));
  return 0;
}

}  // namespace

void add_bench_step(CLI::App& bench, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  bench::BlockOptions& options = arguments->options;
  options.model.family = ModelFamily::llama;
  options.model.hidden = 768;
  options.model.heads = 12;
  CLI::App* command = bench.add_subcommand("step", "Measure a block's forward, recomputation and backward beside its products and attention alone");
  command->add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  add_choice(*command, "--family", options.model.family, "of the block");
  command->add_option("--hidden", options.model.hidden, "size of a hidden state")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--heads", options.model.heads, "attention heads; they divide hidden")->check(CLI::Range(1, 1 << 16))->capture_default_str();
  command->add_option("--kv-heads", options.model.kv_heads, "of keys and values; 0: as many as heads")->check(CLI::Range(0, 1 << 16))->capture_default_str();
  command->add_option("--intermediate", options.model.intermediate, "inside the MLP; 0: the family's default")->check(CLI::Range(0, 1 << 22))->capture_default_str();
  command->add_option("--rows", options.rows, "of the micro-batch")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--tokens", options.tokens, "of a row")->check(CLI::Range(1, 1 << 22))->capture_default_str();
  add_choice(*command, "--dtype", options.dtype, "of weights and hidden states");
  command->add_option("--threads", options.threads, "of the CPU; 0: all cores")->check(CLI::Range(0, 1024))->capture_default_str();
  command->add_option("--repeats", options.repeats, "measurements of each")->check(CLI::Range(1, 100000))->capture_default_str();
  command->add_flag("!--not-deterministic", options.deterministic, "on a GPU: allow kernels whose bits differ from one time to the next");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
