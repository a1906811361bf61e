#include "generate/growing_text.h"

#include <algorithm>

#include "generate/drafts.h"
#include "generate/sampling.h"

namespace gsnake::generate {

GrowingText::GrowingText(const std::vector<std::int64_t>& prompt, std::int64_t context, bool keeps, const GenerateOptions& options)
    : options_(options), context_(context), keeps_(keeps), tokens_(prompt), prompt_(prompt.size()), generator_(at::make_generator<at::CPUGeneratorImpl>(options.sampling.seed)),
      ended_(options.tokens <= 0) {
  if (length() > context_) begin_ = tokens_.size() - static_cast<std::size_t>(context_);
}

void GrowingText::begin_pass() {
  if (length() > context_) {
    begin_ = tokens_.size() - static_cast<std::size_t>(std::max<std::int64_t>(1, context_ / 2));
    computed_ = 0;
  }
  const std::int64_t room = std::min(context_ - length(), options_.tokens - added() - 1);
  draft_ = options_.drafts ? draft(std::span(tokens_).subspan(begin_), std::min(room, most_drafts_)) : std::vector<std::int64_t>();
}

std::vector<std::int64_t> GrowingText::to_compute() const {
  std::vector<std::int64_t> tokens(tokens_.begin() + static_cast<std::ptrdiff_t>(begin_) + computed_, tokens_.end());
  tokens.insert(tokens.end(), draft_.begin(), draft_.end());
  return tokens;
}

bool GrowingText::add(std::int64_t token, const std::function<bool(std::int64_t)>& take) {
  if (std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end()) {
    ended_ = stopped_ = true;
    return false;
  }
  tokens_.push_back(token);
  stopped_ = !take(token);
  ended_ = stopped_ || added() >= options_.tokens;
  return !ended_;
}

std::int64_t GrowingText::end_pass(const at::Tensor& logits, const std::function<bool(std::int64_t)>& take) {
  const std::int64_t before = length();
  std::int64_t right = 0;
  for (std::int64_t i = 0; i <= drafted(); ++i) {
    const std::int64_t token = sample(logits[i], options_.sampling, generator_);
    const bool is_right = i < drafted() && token == draft_[static_cast<std::size_t>(i)];
    if (is_right) ++right;
    if (!add(token, take) || !is_right) break;
  }
  // As many as came true, and some more.
  if (drafted() > 0) most_drafts_ = std::clamp<std::int64_t>(right + 2, 2, kMostDrafts);
  if (keeps_) computed_ = before + right;
  return right;
}

}  // namespace gsnake::generate
