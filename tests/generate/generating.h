// Small runs to generate from, and where their weights may lie.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "generate/text_generator.h"
#include "generate/whole_prefix.h"
#include "train/small_run.h"

namespace gsnake::test {

inline constexpr std::int64_t kContext = 64;
inline constexpr double kRounding = 1e-5;  // of a logit in fp32
inline constexpr std::uint64_t kMiB = 1ULL << 20;

using TokenLists = std::vector<std::vector<std::int64_t>>;

std::vector<std::int64_t> random_prompt(std::int64_t tokens, std::int64_t vocab, unsigned seed);
// One token, a few, more than half of kContext.
TokenLists three_prompts(std::int64_t vocab);

// A run that was trained a few steps, so fast that its tokens differ.
struct GeneratingRun {
  explicit GeneratingRun(const Config& given, Model model);
  explicit GeneratingRun(const Config& given) : GeneratingRun(given, models::make(given)) {}
  Config config;
  std::optional<WholePrefix> reference;
};

GenerateOptions greedy(std::int64_t tokens, bool drafts = false);
TokenLists tokens_of(const std::vector<GeneratedText>& texts);

struct Budgets {
  const char* name = "";
  std::uint64_t device = 512 * kMiB;
  std::uint64_t host = 512 * kMiB;
  bool reads = false;     // weights for every pass
  bool on_async = false;  // a device with memory of its own
};
// Every place that weights, keys and values of three_prompts() may have: in memory, on the drive, and the same beside a device of its own.
std::vector<Budgets> all_budgets(const Config& config);
// Some weights are read for every pass.
Budgets on_the_drive(const Config& config);
std::unique_ptr<generate::Engine> engine_of(const Config& config, const Budgets& budgets);

}  // namespace gsnake::test
