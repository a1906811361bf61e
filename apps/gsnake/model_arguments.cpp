#include "model_arguments.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "convert/carried_files.h"
#include "core/bytes.h"
#include "greedysnake/error.h"
#include "ssd_option.h"

namespace gsnake::command {
namespace {

constexpr std::int64_t kByteVocab = 256;  // of a model whose tokens are bytes

void set(ModelOptions& options, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  const std::string key = setting.substr(0, equals);
  std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
  const auto refuse = [&](const std::string& why) { throw Error(ErrorKind::usage, "--set " + setting + ": " + why); };
  if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  if (key == "memory.device") {
    if (value.empty()) refuse("it must be cpu or cuda:N");
    options.device = value;
  } else if (key == "memory.device_budget" || key == "memory.host_budget") {
    std::uint64_t& budget = key == "memory.device_budget" ? options.device_budget : options.host_budget;
    try {
      budget = core::parse_bytes(value);
    } catch (const Error& error) {
      refuse(error.what());
    }
    if (budget == 0 || budget == kAutomaticBytes) refuse("it must be a size, such as 2GiB");
  } else {
    refuse("here memory.device, memory.device_budget and memory.host_budget can be set");
  }
}

}  // namespace

void add_model(CLI::App& command, ModelArguments& arguments) {
  command.add_option("--run", arguments.run_dir, "run directory");
  add_ssd_paths(command, arguments.options.ssd_paths);
  command.add_option("--model", arguments.model_dir, "Hugging Face folder");
  command.add_option("--device", arguments.options.device, "cpu or cuda:N, in place of the run's memory.device");
  command.add_option("--context", arguments.options.context, "tokens that the model sees at once (default: the run's train.sequence_length, a folder's context)")->check(CLI::PositiveNumber);
  command.add_option("--set", arguments.settings, "memory.device_budget=SIZE or memory.host_budget=SIZE, in place of the run's")->allow_extra_args(false);
  command.add_option("--tokenizer", arguments.tokenizer, "\"bytes\" or a tokenizer.json (default: the model's)");
}

void check(ModelArguments& arguments, const char* purpose) {
  if (arguments.run_dir.empty() == arguments.model_dir.empty())
    throw Error(ErrorKind::usage, std::string("name what to ") + purpose + ": a run directory with --run, or a Hugging Face folder with --model");
  for (const std::string& setting : arguments.settings) set(arguments.options, setting);
}

std::vector<std::string> files_beside(const ModelArguments& arguments, const Config& config) {
  if (!arguments.run_dir.empty()) return convert::carried_files(config.run.dir);
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(arguments.model_dir, ignored)) files.push_back(entry.path().string());
  return files;
}

// Bytes that mean nothing to an imported model would be the alternative to the folder's.
std::unique_ptr<tokenizer::Tokenizer> tokenizer_of(const ModelArguments& arguments, const Config& config, bool reads_text) {
  if (!arguments.tokenizer.empty()) return tokenizer::load(arguments.tokenizer);
  if (arguments.model_dir.empty() && config.data.tokenizer != "bytes") return tokenizer::load(config.data.tokenizer);
  const std::vector<std::string> files = files_beside(arguments, config);
  const auto found = std::find_if(files.begin(), files.end(), [](const std::string& path) { return path.ends_with("/tokenizer.json"); });
  if (found != files.end()) return tokenizer::load(*found);
  const bool is_hugging_face = !arguments.model_dir.empty() || !files.empty();
  if (reads_text && is_hugging_face && config.model.vocab != kByteVocab) {
    const std::string folder = arguments.model_dir.empty() ? convert::carried_folder(config.run.dir) : arguments.model_dir;
    throw Error(ErrorKind::input, "cannot use " + folder + ": it has no tokenizer.json; name the model's with --tokenizer");
  }
  return tokenizer::load(config.data.tokenizer);
}

}  // namespace gsnake::command
