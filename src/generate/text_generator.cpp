#include "generate/text_generator.h"

#include <algorithm>

#include "core/log.h"
#include "generate/drafts.h"
#include "greedysnake/error.h"

namespace gsnake::generate {
namespace {

void check(const std::vector<std::vector<std::int64_t>>& prompts, std::int64_t vocab) {
  if (prompts.empty()) throw Error(ErrorKind::usage, "a prompt is needed");
  for (const std::vector<std::int64_t>& prompt : prompts) {
    if (prompt.empty()) throw Error(ErrorKind::usage, "a prompt of at least one token is needed");
    for (const std::int64_t token : prompt) {
      if (token >= 0 && token < vocab) continue;
      throw Error(ErrorKind::usage, "token id " + std::to_string(token) + " of the prompt is not below model.vocab = " + std::to_string(vocab) + "; use the tokenizer that the model was made with");
    }
  }
}

torch::Tensor logits_of(HeadUnit& head, const torch::Tensor& hidden, const std::vector<std::int64_t>& rows) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor wanted = torch::tensor(rows, torch::kInt64).to(hidden.device());
  return head.logits(hidden[0].index_select(0, wanted)).to(torch::kFloat32);
}

// What a pass computes of texts, cut into parts, and which of its tokens' logits are asked for.
class Plan {
 public:
  // most: tokens of a part; 0: each text is one.
  explicit Plan(std::int64_t most) : most_(most) {}

  void add(int text, const GrowingText& growing) {
    const std::vector<std::int64_t> ids = growing.to_compute();
    const auto count = static_cast<std::int64_t>(ids.size());
    for (std::int64_t done = 0; done < count;) {
      if (parts_.empty() || most_ == 0 || length() == most_) begin_part();
      const std::int64_t here = most_ == 0 ? count : std::min(count - done, most_ - length());
      Part& part = parts_.back();
      for (std::int64_t i = done; i < done + here; ++i) {
        if (i + growing.drafted() + 1 >= count) rows_.back().push_back(length());
        part.ids.push_back(ids[static_cast<std::size_t>(i)]);
      }
      part.pieces.push_back({text, growing.past() + done, here});
      done += here;
    }
    positions_ += count;
  }

  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
  [[nodiscard]] std::int64_t positions() const { return positions_; }
  // Where the logits of each part's wanted tokens go, among all.
  [[nodiscard]] std::int64_t first_row(std::size_t part) const {
    std::size_t rows = 0;
    for (std::size_t p = 0; p < part; ++p) rows += rows_[p].size();
    return static_cast<std::int64_t>(rows);
  }
  [[nodiscard]] const std::vector<std::int64_t>& rows(std::size_t part) const { return rows_[part]; }

 private:
  [[nodiscard]] std::int64_t length() const { return static_cast<std::int64_t>(parts_.back().ids.size()); }
  void begin_part() {
    parts_.emplace_back();
    rows_.emplace_back();
  }

  const std::int64_t most_;
  std::vector<Part> parts_;
  std::vector<std::vector<std::int64_t>> rows_;  // by part: its tokens whose logits are asked for
  std::int64_t positions_ = 0;
};

}  // namespace

TextGenerator::TextGenerator(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
  if (!engine_->has_cache()) spdlog::warn("the model's units keep no keys and values (CachedUnit): each token costs a pass over the whole text");
}

std::vector<GeneratedText> TextGenerator::generate(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options) {
  gsnake::check(options.sampling);
  check(prompts, engine_->config().model.vocab);
  prepare(prompts, options);
  std::vector<GrowingText> texts;
  for (const auto& prompt : prompts) texts.emplace_back(prompt, engine_->context(), engine_->has_cache(), options);
  while (std::any_of(texts.begin(), texts.end(), [](const GrowingText& text) { return !text.ended(); })) pass(texts, options);
  std::vector<GeneratedText> results;
  for (const GrowingText& text : texts) results.push_back(text.result());
  return results;
}

GenerationCounts TextGenerator::counts() const {
  GenerationCounts counts = counts_;
  counts.read_bytes = engine_->stored_bytes();
  return counts;
}

void TextGenerator::prepare(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options) {
  const std::int64_t context = engine_->context();
  Demand demand;
  demand.parts = static_cast<std::int64_t>(prompts.size());
  const std::int64_t drafts = options.drafts ? kMostDrafts : 0;
  std::int64_t first = 0;  // tokens of the first pass
  for (const auto& prompt : prompts) {
    const auto size = static_cast<std::int64_t>(prompt.size());
    if (size > context) spdlog::warn("a prompt of {} tokens: its last {} are what the model sees", size, context);
    demand.capacities.push_back(std::min(context, size + std::max<std::int64_t>(0, options.tokens)));
    first += std::min(context, size + drafts);
  }
  const std::int64_t longest = *std::max_element(demand.capacities.begin(), demand.capacities.end());
  // A text that outgrows the context begins anew with half of it.
  const std::int64_t anew = longest == context ? demand.parts * std::max<std::int64_t>(1, context / 2) : 0;
  demand.tokens = std::max({first, demand.parts * (1 + drafts), anew + demand.parts * drafts});
  if (!engine_->has_cache()) {
    demand.longest = longest;
    demand.tokens = demand.parts * longest;
    demand.capacities.clear();
  }
  const std::int64_t most_rows = demand.parts * (1 + drafts);
  demand.result_bytes = static_cast<std::uint64_t>(most_rows * engine_->vocab()) * sizeof(float);
  demand.head = [rows = most_rows](HeadUnit& head, const torch::Tensor& hidden) {
    std::vector<std::int64_t> wanted(static_cast<std::size_t>(std::min(rows, hidden.size(1))));
    logits_of(head, hidden, wanted);
  };
  engine_->prepare(demand);
}

void TextGenerator::pass(std::vector<GrowingText>& texts, const GenerateOptions& options) {
  Plan plan(engine_->has_cache() ? engine_->part_tokens() : 0);
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].ended()) continue;
    texts[i].begin_pass();
    plan.add(static_cast<int>(i), texts[i]);
    rows += 1 + texts[i].drafted();
    counts_.drafted += texts[i].drafted();
  }
  const torch::Tensor logits = torch::empty({rows, engine_->vocab()});
  engine_->runner().run(plan.parts(), [&](std::size_t part, HeadUnit& head, const torch::Tensor& hidden) {
    if (plan.rows(part).empty()) return;
    const torch::NoGradGuard no_grad;
    logits.narrow(0, plan.first_row(part), static_cast<std::int64_t>(plan.rows(part).size())).copy_(logits_of(head, hidden, plan.rows(part)));
  });
  ++counts_.passes;
  counts_.positions += plan.positions();
  std::int64_t row = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].ended()) continue;
    const std::int64_t own = 1 + texts[i].drafted();
    counts_.accepted += texts[i].end_pass(logits.narrow(0, row, own), [&](std::int64_t token) { return !options.take || options.take(i, token); });
    row += own;
  }
}

}  // namespace gsnake::generate
