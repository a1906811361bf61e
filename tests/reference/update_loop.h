// The recurrences of docs/optimizer.md as loops over elements: a second implementation, to compare with.
#pragma once

#include <cstdint>
#include <span>

#include "optim/adamw.h"

namespace gsnake::reference {

enum class Rule : std::uint8_t { adamw, adam, lion, sgd };

struct UpdateOptions {
  Rule rule = Rule::adamw;
  optim::AdamWHyper hyper;    // lion and sgd use no epsilon, sgd no beta2
  bool bf16_moments = false;  // rounded to nearest, ties to even, after the update, which computes in fp32 on what was stored
};

// One update of the whole model.
struct UpdateStep {
  double learning_rate = 0.0;
  std::int64_t updates = 0;      // counted from 1
  float gradient_factor = 1.0F;  // multiplies every gradient element first
};

// Of one size. moment2 is left alone by lion and sgd.
struct UpdateSpans {
  std::span<float> weight;
  std::span<float> moment1;
  std::span<float> moment2;
  std::span<const float> gradient;
};

void update_loop(const UpdateOptions& options, const UpdateStep& step, bool decays, const UpdateSpans& spans);

}  // namespace gsnake::reference
