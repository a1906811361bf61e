// Which model a command computes with, and what it may take: what generate and evaluate have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/generator.h"
#include "tokenizer/tokenizer.h"

namespace gsnake::command {

struct ModelArguments {
  std::string run_dir;
  std::string model_dir;
  std::string tokenizer;
  std::vector<std::string> settings;  // KEY=VALUE
  ModelOptions options;

  [[nodiscard]] const std::string& name() const { return run_dir.empty() ? model_dir : run_dir; }
};

void add_model(CLI::App& command, ModelArguments& arguments);
// Throws Error(usage) unless one model is named and the settings are such as there are; reads these into the options.
void check(ModelArguments& arguments, const char* purpose);
// Files of the Hugging Face folder that the model is, or was imported from. config: the model's.
std::vector<std::string> files_beside(const ModelArguments& arguments, const Config& config);
// reads_text: texts are to become ids, so a Hugging Face model whose folder has no tokenizer.json needs one by name, unless its tokens are bytes: Error(input).
std::unique_ptr<tokenizer::Tokenizer> tokenizer_of(const ModelArguments& arguments, const Config& config, bool reads_text = true);

}  // namespace gsnake::command
