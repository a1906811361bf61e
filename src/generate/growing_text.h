// A text while it is generated: its tokens, how many of them are computed, and what is guessed to follow.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "greedysnake/generator.h"

namespace gsnake::generate {

class GrowingText {
 public:
  // keeps: what is computed need not be computed again.
  GrowingText(const std::vector<std::int64_t>& prompt, std::int64_t context, bool keeps, const GenerateOptions& options);

  // Chooses what the next pass computes: what is new since the last one, and guesses.
  void begin_pass();
  // Of the next pass: tokens, and how many before them are computed.
  [[nodiscard]] std::vector<std::int64_t> to_compute() const;
  [[nodiscard]] std::int64_t past() const { return computed_; }
  [[nodiscard]] std::int64_t drafted() const { return static_cast<std::int64_t>(draft_.size()); }
  // Draws from the logits (1 + drafted(), vocab) that follow the text and each guess, until a guess did not come true; with `take` as in GenerateOptions.
  // Returns how many guesses came true.
  std::int64_t end_pass(const at::Tensor& logits, const std::function<bool(std::int64_t)>& take);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] GeneratedText result() const { return {{tokens_.begin() + static_cast<std::ptrdiff_t>(prompt_), tokens_.end()}, stopped_}; }

 private:
  [[nodiscard]] std::int64_t added() const { return static_cast<std::int64_t>(tokens_.size() - prompt_); }
  [[nodiscard]] std::int64_t length() const { return static_cast<std::int64_t>(tokens_.size() - begin_); }
  bool add(std::int64_t token, const std::function<bool(std::int64_t)>& take);

  const GenerateOptions& options_;
  const std::int64_t context_;
  const bool keeps_;
  std::vector<std::int64_t> tokens_;
  const std::size_t prompt_;
  std::size_t begin_ = 0;      // tokens before it are out of the model's sight
  std::int64_t computed_ = 0;  // tokens from begin_ on
  std::vector<std::int64_t> draft_;
  std::int64_t most_drafts_ = 4;
  at::Generator generator_;
  bool ended_ = false;
  bool stopped_ = false;
};

}  // namespace gsnake::generate
