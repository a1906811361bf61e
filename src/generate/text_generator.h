// Texts that are gone on with, a pass over the weights after another.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "generate/engine.h"
#include "generate/growing_text.h"
#include "greedysnake/generator.h"

namespace gsnake::generate {

class TextGenerator {
 public:
  explicit TextGenerator(std::unique_ptr<Engine> engine);
  // As Generator has them.
  std::vector<GeneratedText> generate(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options);
  [[nodiscard]] GenerationCounts counts() const;
  [[nodiscard]] const Engine& engine() const { return *engine_; }

 private:
  void prepare(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options);
  void pass(std::vector<GrowingText>& texts, const GenerateOptions& options);

  std::unique_ptr<Engine> engine_;
  GenerationCounts counts_;
};

}  // namespace gsnake::generate
