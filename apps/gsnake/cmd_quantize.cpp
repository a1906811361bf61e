#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "core/bytes.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "hf/model_config.h"
#include "transfer.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string from;
  std::string random;
  std::string to;
  QuantizeOptions options;
  bool json = false;
};

int run(const Arguments& arguments) {
  if (arguments.from.empty() == arguments.random.empty()) {
    throw Error(ErrorKind::usage, "name what the base is made of: --from a Hugging Face folder, or --random a config whose [model] gives a shape");
  }
  const ModelConfig shape = arguments.from.empty() ? Config::load(arguments.random, {"train.sequence_length=1"}).model : hf::read_model_config(arguments.from);
  return transfer("quantizing", [&](const TransferProgress& progress) {
    QuantizeOptions options = arguments.options;
    options.progress = progress;
    const BaseReport report = quantize(arguments.from, shape, arguments.to, options);
    if (arguments.json) {
      const nlohmann::ordered_json result{{"to", arguments.to}, {"id", report.id}, {"format", options.format}, {"parameters", report.parameters}, {"bytes", report.bytes}, {"seconds", report.seconds}};
      return result.dump(2) + "\n";
    }
    return fmt::format("packed {} parameters as {}: {} ({:.2f} bits each) in {:.1f} s, to {}\n", report.parameters, options.format, core::format_bytes(report.bytes),
                       8.0 * static_cast<double>(report.bytes) / static_cast<double>(report.parameters), report.seconds, arguments.to);
  });
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("quantize", "Make a frozen, read-only base for adapters of a Hugging Face folder's weights");
  command->add_option("--from", arguments->from, "Hugging Face folder: config.json, safetensors");
  command->add_option("--random", arguments->random, "in its place a config whose [model] gives the shape of random weights, to measure with");
  command->add_option("--to", arguments->to, "folder to make")->required();
  command->add_option("--format", arguments->options.format, "of the blocks' matrices: bf16, int8 (8.5 bits a weight), nf4 (4.13), mxfp4 (4.25)")->capture_default_str();
  command->add_option("--embeddings", arguments->options.embeddings, "of embeddings and the head, the same words; without it bf16");
  command->add_option("--seed", arguments->options.seed, "of random weights")->capture_default_str();
  command->add_flag("--json", arguments->json, "print the result as JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
