// What a run's config means to the reference loop.
#pragma once

#include <map>

#include "greedysnake/config.h"
#include "plan/compute_dtype.h"
#include "reference/reference_loop.h"
#include "torch/dtype.h"

namespace gsnake::reference {

inline void set_numbers(Options& options, const Config& config) {
  const std::map<UpdateRule, Rule> rules{
      {UpdateRule::adamw, Rule::adamw}, {UpdateRule::adam, Rule::adam}, {UpdateRule::lion, Rule::lion}, {UpdateRule::sgd, Rule::sgd}};
  options.rule = rules.at(config.optimizer.name);
  options.bf16_moments = config.optimizer.moments == MomentFormat::bf16;
  options.gradient_clipping = config.optimizer.gradient_clipping;
  const bool fp16 = config.train.dtype == Dtype::fp16;
  const bool skips = config.train.on_nonfinite == gsnake::OnNonfinite::skip || (config.train.on_nonfinite == gsnake::OnNonfinite::automatic && fp16);
  options.on_nonfinite = skips ? OnNonfinite::skip : OnNonfinite::stop;
  options.dtype = backend::scalar_type(config.train.dtype);
  options.compute = backend::scalar_type(plan::resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, plan::native_dtypes(config)));
  options.loss_scale.dynamic = config.train.loss_scale < 0.0;
  if (!options.loss_scale.dynamic) options.loss_scale.initial = static_cast<float>(config.train.loss_scale);
}

inline Options options_of(const Config& config) {
  const bool ascending = config.train.schedule == Schedule::horizontal || config.train.order == MicroBatchOrder::ascending;
  Options options;
  options.hyper = {config.optimizer.beta1, config.optimizer.beta2, config.optimizer.epsilon, config.optimizer.weight_decay};
  set_numbers(options, config);
  options.decay_1d = config.optimizer.decay_1d;
  options.seed = config.train.seed;
  options.head_chunk = config.train.head_chunk;
  options.order = ascending ? Order::ascending : Order::snake;
  return options;
}

}  // namespace gsnake::reference
