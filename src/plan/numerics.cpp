#include "plan/numerics.h"

#include <fmt/format.h>

#include "greedysnake/error.h"
#include "optim/learning_rate.h"

namespace gsnake::plan {
namespace {

using optim::MomentFormat;
using optim::WeightFormat;
using schedule::Guard;

constexpr double kFirstScale = 65536.0;  // as torch.amp.GradScaler's

optim::OptimizerSpec spec_of(const Config& config) {
  const OptimizerConfig& o = config.optimizer;
  return {o.name, o.beta1, o.beta2, o.epsilon, o.weight_decay, config.train.dtype, o.moments};
}

optim::LearningRateSchedule learning_rates(const OptimizerConfig& config) {
  return {config.learning_rate, config.min_learning_rate, config.warmup_steps, config.decay_steps, config.decay};
}

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::usage, message); }

void set_loss_scale(Numerics& numerics, const TrainConfig& train) {
  const bool dynamic = train.loss_scale < 0.0;
  if (train.dtype != Dtype::fp16) {
    if (!dynamic && train.loss_scale != 1.0) {
      refuse(fmt::format("train.loss_scale = {}: only train.dtype = \"fp16\" scales the loss; leave it out", train.loss_scale));
    }
    return;
  }
  if (dynamic && !numerics.policy.skips) {
    refuse("train.loss_scale = \"dynamic\": it is found by skipping steps that overflow; set train.on_nonfinite = \"skip\" or a number");
  }
  numerics.policy.dynamic_scale = dynamic;
  numerics.counters.loss_scale = dynamic ? kFirstScale : train.loss_scale;
}

// Why updates can't be speculative; empty where they can.
std::string speculation_obstacle(const Config& config) {
  if (config.run.durability != Durability::commit) return "run.durability is not \"commit\"";
  if (config.run.commit_every != 1) return "run.commit_every is not 1";
  const auto off_ssd = [](const TierFractions& tier) { return tier.device + tier.host > 0.0; };
  if (off_ssd(config.placement.weights) || off_ssd(config.placement.optimizer)) return "weights or optimizer state are not wholly on SSD";
  return {};
}

void set_guard(Numerics& numerics, const Config& config) {
  const bool automatic = config.train.delay < 0.0;
  const bool guarded = numerics.policy.skips || numerics.policy.clip_norm > 0.0;
  if (!guarded) {
    numerics.delay = automatic ? 0.0 : config.train.delay;
    return;
  }
  const ClippingMode mode = config.optimizer.clipping_mode;
  const bool early = !automatic && config.train.delay < 1.0;
  const bool wanted = mode == ClippingMode::speculative || (mode == ClippingMode::automatic && early);
  const std::string obstacle = wanted ? speculation_obstacle(config) : std::string();
  const bool speculative = wanted && obstacle.empty() && (automatic || early);
  if (!speculative && early) {
    refuse(fmt::format("train.delay = {}: an update that waits for the gradient norm ({}) is delayed as a whole{}; set train.delay = \"auto\"",
                       config.train.delay, numerics.policy.clip_norm > 0.0 ? "optimizer.gradient_clipping" : "train.on_nonfinite",
                       obstacle.empty() ? "" : ", and can't be speculative: " + obstacle));
  }
  if (mode == ClippingMode::speculative && !speculative) {
    numerics.guard_reason = obstacle.empty() ? "with train.delay = 1 nothing is left to speculate on" : "they can't be speculative: " + obstacle;
  }
  numerics.guard = speculative ? Guard::speculative : Guard::deferred;
  numerics.delay = speculative ? (automatic ? 0.0 : config.train.delay) : 1.0;
}

}  // namespace

Numerics numerics_of(const Config& config) {
  Numerics numerics;
  numerics.optimizer = spec_of(config);
  numerics.policy.learning_rate = [rates = learning_rates(config.optimizer)](std::int64_t updates) { return rates.at(updates); };
  numerics.policy.clip_norm = config.optimizer.gradient_clipping;
  numerics.policy.skips = config.train.on_nonfinite == OnNonfinite::skip || (config.train.on_nonfinite == OnNonfinite::automatic && config.train.dtype == Dtype::fp16);
  set_loss_scale(numerics, config.train);
  set_guard(numerics, config);
  return numerics;
}

std::string describe_formats(const Numerics& numerics) {
  const char* weights = numerics.optimizer.weights == WeightFormat::bf16   ? "bf16 weights with a 16-bit remainder of the master"
                        : numerics.optimizer.weights == WeightFormat::fp16 ? "fp16 weights beside an fp32 master"
                                                                           : "fp32 weights";
  return fmt::format("{}, {} moments ({})", weights, word_of(numerics.optimizer.moments), word_of(numerics.optimizer.rule));
}

std::string describe_guard(const Numerics& numerics) {
  if (numerics.guard == Guard::none) return {};
  const std::string clipping = numerics.policy.clip_norm > 0.0 ? fmt::format("gradients are clipped at a norm of {}", numerics.policy.clip_norm) : "";
  const std::string skipping = numerics.policy.skips ? "steps that are not finite are skipped" : "";
  return fmt::format("{}{}{}: updates are {}{}{}", clipping, clipping.empty() || skipping.empty() ? "" : ", ", skipping,
                     numerics.guard == Guard::speculative ? "speculative" : "deferred", numerics.guard_reason.empty() ? "" : "; ", numerics.guard_reason);
}

}  // namespace gsnake::plan
