// The recurrence of docs/optimizer.md as a loop over elements: a second implementation, to compare with.
#pragma once

#include <span>

#include "optim/adamw.h"

namespace gsnake::reference {

// Of one size.
struct AdamWSpans {
  std::span<float> weight;
  std::span<float> moment1;
  std::span<float> moment2;
  std::span<const float> gradient;
};

void adamw_loop(const optim::AdamWStep& step, bool decays, const AdamWSpans& spans);

}  // namespace gsnake::reference
