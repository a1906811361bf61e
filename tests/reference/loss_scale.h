// The factor that keeps small gradients above fp16's smallest number, found by trial: torch.amp.GradScaler's rule.
#pragma once

#include <cmath>
#include <cstdint>

namespace gsnake::reference {

struct LossScaleOptions {
  float initial = 65536.0F;
  bool dynamic = true;                  // false: `initial` for ever
  std::int64_t growth_interval = 2000;  // steps without an overflow before it doubles
};

class LossScale {
 public:
  explicit LossScale(const LossScaleOptions& options) : options_(options), value_(options.initial) {}

  [[nodiscard]] float value() const { return value_; }

  void record(bool finite) {
    if (!options_.dynamic) return;
    good_steps_ = finite ? good_steps_ + 1 : 0;
    if (!finite) value_ /= 2.0F;
    if (good_steps_ < options_.growth_interval) return;
    good_steps_ = 0;
    if (std::isfinite(value_ * 2.0F)) value_ *= 2.0F;
  }

 private:
  LossScaleOptions options_;
  float value_;
  std::int64_t good_steps_ = 0;
};

}  // namespace gsnake::reference
